// SPDX-License-Identifier: Apache-2.0
// A server of KServe's v2 protocol over gRPC, and a client of it. Each request's text_input is answered with max_tokens
// words: as a stream by ModelStreamInfer, at once by ModelInfer, and with UNAVAILABLE where the model is "broken".
// usage: kserve_peer serve                                    prints its port
//        kserve_peer ask PORT unary|stream MODEL TOKENS COUNT   so many at once on one connection, each in its own call
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kserve.grpc.pb.h"

using inference::GRPCInferenceService;
using inference::ModelInferRequest;
using inference::ModelInferResponse;
using inference::ModelStreamInferResponse;

namespace {

/// An element of a tensor of type BYTES.
std::string element(const std::string& text) {
  std::string bytes;
  for (const unsigned shift : {0u, 8u, 16u, 24u}) bytes += static_cast<char>((text.size() >> shift) & 0xffu);
  return bytes + text;
}

void answer(const ModelInferRequest& request, const std::string& words, ModelInferResponse& response) {
  response.set_model_name(request.model_name());
  response.set_id(request.id());
  auto& output = *response.add_outputs();
  output.set_name("text_output");
  output.set_datatype("BYTES");
  output.add_shape(1);
  response.add_raw_output_contents(element(words));
}

std::int64_t tokens_of(const ModelInferRequest& request) {
  return request.parameters().at("max_tokens").int64_param();
}

class Service final : public GRPCInferenceService::Service {
  grpc::Status ModelInfer(grpc::ServerContext* /*context*/, const ModelInferRequest* request,
                          ModelInferResponse* response) override {
    if (request->model_name() == "broken") return {grpc::StatusCode::UNAVAILABLE, "the model is not there"};
    std::string words;
    for (std::int64_t i = 0; i < tokens_of(*request); ++i) words += "word ";
    answer(*request, words, *response);
    return grpc::Status::OK;
  }
  grpc::Status ModelStreamInfer(
      grpc::ServerContext* /*context*/,
      grpc::ServerReaderWriter<ModelStreamInferResponse, ModelInferRequest>* stream) override {
    ModelInferRequest request;
    while (stream->Read(&request))
      for (std::int64_t i = 0; i < tokens_of(request); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        ModelStreamInferResponse response;
        answer(request, "word ", *response.mutable_infer_response());
        stream->Write(response);
      }
    return grpc::Status::OK;
  }
};

int serve() {
  Service service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) return 1;
  std::cout << "port " << port << std::endl;
  server->Wait();
  return 0;
}

ModelInferRequest request_of(const std::string& model, std::int64_t tokens) {
  ModelInferRequest request;
  request.set_model_name(model);
  request.set_id("request-1");
  (*request.mutable_parameters())["max_tokens"].set_int64_param(tokens);
  auto& input = *request.add_inputs();
  input.set_name("text_input");
  input.set_datatype("BYTES");
  input.add_shape(1);
  request.add_raw_input_contents(element("one two three"));
  return request;
}

std::string ask_for_stream(GRPCInferenceService::Stub& stub, const ModelInferRequest& request) {
  grpc::ClientContext context;
  const auto stream = stub.ModelStreamInfer(&context);
  stream->Write(request);
  stream->WritesDone();
  ModelStreamInferResponse response;
  int messages = 0;
  while (stream->Read(&response)) ++messages;
  return stream->Finish().ok() ? "messages " + std::to_string(messages) : "failed";
}

std::string ask_at_once(GRPCInferenceService::Stub& stub, const ModelInferRequest& request) {
  grpc::ClientContext context;
  ModelInferResponse response;
  return "status " + std::to_string(stub.ModelInfer(&context, request, &response).error_code());
}

int ask(const std::string& port, bool stream, const ModelInferRequest& request, unsigned count) {
  const auto stub =
      GRPCInferenceService::NewStub(grpc::CreateChannel("127.0.0.1:" + port, grpc::InsecureChannelCredentials()));
  std::vector<std::string> said(count);
  std::vector<std::thread> threads;
  for (std::string& one : said)
    threads.emplace_back([&] { one = stream ? ask_for_stream(*stub, request) : ask_at_once(*stub, request); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& one : said) std::cout << one << "\n";
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> words(arguments + 1, arguments + count);
  if (words.size() == 1 && words[0] == "serve") return serve();
  if (words.size() == 6 && words[0] == "ask")
    return ask(words[1], words[2] == "stream", request_of(words[3], std::stoll(words[4])),
               static_cast<unsigned>(std::stoul(words[5])));
  std::cerr << "usage: " << arguments[0] << " serve | ask PORT unary|stream MODEL TOKENS COUNT\n";
  return 2;
}
