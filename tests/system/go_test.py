#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Servers in Go, whose TLS is Go's own: as they are built, stripped, and of before Go 1.17, when functions were called
otherwise."""
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, ScriptServer, SystemTest, certificate_in, run_cli, wait_until
from traffic import ask_at_once, ask_over_http2
from trouble import watch_only


class GoTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.key, cls.certificate = certificate_in(cls.folder)

    def built(self, name, compiler, *options):
        binary = self.folder / f"go_server_{name}"
        environment = {**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0", "GOFLAGS": "",
                       "GOCACHE": str(fixtures.cache() / "go-cache")}
        subprocess.run([compiler, "build", "-o", binary, *options, fixtures.SUPPORT / "go_server.go"], check=True,
                       env=environment)
        return binary

    def check(self, binary):
        server = ScriptServer(self.folder, [], binary, self.key, self.certificate)
        agent = Agent(self.folder, watch_only(server), name=binary.name).wait_watching(server)
        wait_until(lambda: "TLS is seen in the clear" in agent.log(), agent.log)

        ask_at_once(self, agent, server, "go-model")
        for trace in ask_over_http2(self.folder, agent, server, 5, max_tokens=6, stream=True):
            self.assertEqual(trace["gen_ai.usage.output_tokens"], 6, trace)
        self.assertEqual(agent.status()["kernel"]["tls_unplaced"], 0)
        doctor = run_cli("doctor", "-c", agent.config_path)
        self.assertIn(f"TLS in {binary.name} (executable, .gopclntab): crypto/tls.(*Conn)", doctor.stdout)
        self.assertEqual(agent.stop(), 0)
        self.assertTrue(server.running())
        with server.client(tls=True) as client:
            self.assertEqual(client.chat(max_tokens=2).status, 200, "the probes are gone, the server works on")

    def test_plain_and_stripped(self):
        compiler = shutil.which("go")
        if not compiler:
            self.skipTest("Go is not installed (package golang-go)")
        self.check(self.built("plain", compiler))
        self.check(self.built("stripped", compiler, "-ldflags=-s -w"))

    def test_before_go_1_17(self):
        self.check(self.built("old", fixtures.old_go(), "-ldflags=-s -w"))


if __name__ == "__main__":
    fixtures.main()
