#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF v3 file of the llama architecture with random weights, so that a real server can be run without
downloading one. The same options give the same file. Format: the ggml project's docs/gguf.md.

The vocabulary is a made-up sentence-piece one: control tokens, bytes, characters, then invented words."""
import argparse
import itertools
import math
import random
import struct

ALIGNMENT = 32
TENSOR_TYPE = {"f32": 0, "q8_0": 8}
FILE_TYPE_Q8_0 = 7
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
WORD_START = "\u2581"
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    for name, default in dict(layers=2, dim=64, ff=128, heads=4, kv=4, vocab=2000, context=4096, seed=1).items():
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--name", default="random")
    return parser.parse_args()


def vocabulary(size):
    """Pieces, their scores and types, `size` of them at the most."""
    pieces = [("<unk>", UNKNOWN), ("<s>", CONTROL), ("</s>", CONTROL)]
    pieces += [("<0x%02X>" % byte, BYTE) for byte in range(256)]
    pieces += [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)]
    characters = [chr(code) for code in range(33, 127)]
    consonants = "b c d f g h j k l m n p r s t v w z th ch sh".split()
    syllables = [consonant + vowel for consonant in consonants for vowel in "aeiou"]
    words = itertools.chain(
        [WORD_START], characters, (WORD_START + c for c in characters), syllables, (WORD_START + s for s in syllables),
        *((WORD_START + "".join(parts) for parts in itertools.product(syllables, repeat=n)) for n in (2, 3)))
    seen = {piece for piece, _ in pieces}
    for word in words:
        if len(pieces) >= size:
            break
        if word not in seen:
            seen.add(word)
            pieces.append((word, NORMAL))
    texts, types = zip(*pieces)
    return list(texts), [-float(i) if kind == NORMAL else 0.0 for i, kind in enumerate(types)], list(types)


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(kind, content):
    if kind == STRING:
        return text(content)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], content)


def entry(key, kind, content):
    return text(key) + struct.pack("<I", kind) + value(kind, content)


def array(key, kind, contents):
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(contents)) + b"".join(value(kind, c) for c in contents)


def metadata(options):
    texts, scores, types = vocabulary(options.vocab)
    head = options.dim // options.heads
    options.vocab = len(texts)
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, options.name),
        entry("general.file_type", UINT32, FILE_TYPE_Q8_0),
        entry("llama.vocab_size", UINT32, options.vocab),
        entry("llama.context_length", UINT32, options.context),
        entry("llama.embedding_length", UINT32, options.dim),
        entry("llama.block_count", UINT32, options.layers),
        entry("llama.feed_forward_length", UINT32, options.ff),
        entry("llama.attention.head_count", UINT32, options.heads),
        entry("llama.attention.head_count_kv", UINT32, options.kv),
        entry("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        entry("llama.rope.dimension_count", UINT32, head),
        entry("llama.rope.freq_base", FLOAT32, 10000.0),
        entry("tokenizer.ggml.model", STRING, "llama"),
        entry("tokenizer.ggml.pre", STRING, "default"),
        array("tokenizer.ggml.tokens", STRING, texts),
        array("tokenizer.ggml.scores", FLOAT32, scores),
        array("tokenizer.ggml.token_type", INT32, types),
        entry("tokenizer.ggml.bos_token_id", UINT32, 1),
        entry("tokenizer.ggml.eos_token_id", UINT32, 2),
        entry("tokenizer.ggml.unknown_token_id", UINT32, 0),
        entry("tokenizer.ggml.add_bos_token", BOOL, True),
        entry("tokenizer.ggml.add_eos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def tensors(options):
    """Name, dimensions and type of each tensor, in the order of the file."""
    dim, kv_dim = options.dim, options.dim // options.heads * options.kv
    out = [("token_embd.weight", (dim, options.vocab), "q8_0")]
    for layer in range(options.layers):
        block = "blk.%d." % layer
        out += [(block + "attn_norm.weight", (dim,), "f32"),
                (block + "attn_q.weight", (dim, dim), "q8_0"),
                (block + "attn_k.weight", (dim, kv_dim), "q8_0"),
                (block + "attn_v.weight", (dim, kv_dim), "q8_0"),
                (block + "attn_output.weight", (dim, dim), "q8_0"),
                (block + "ffn_norm.weight", (dim,), "f32"),
                (block + "ffn_gate.weight", (dim, options.ff), "q8_0"),
                (block + "ffn_up.weight", (dim, options.ff), "q8_0"),
                (block + "ffn_down.weight", (options.ff, dim), "q8_0")]
    return out + [("output_norm.weight", (dim,), "f32"), ("output.weight", (dim, options.vocab), "q8_0")]


def size_of(dimensions, kind):
    count = math.prod(dimensions)
    return count // 32 * 34 if kind == "q8_0" else count * 4


def content(generator, name, dimensions, kind):
    """Norms are ones. A q8_0 block is a half-precision scale and 32 signed bytes; the scale gives each matrix the
    standard deviation 1/sqrt(inputs), so that activations keep their size through the layers."""
    if kind == "f32":
        return struct.pack("<f", 1.0) * dimensions[0]
    deviation = 1.0 if name == "token_embd.weight" else 1.0 / math.sqrt(dimensions[0])
    raw = bytearray(generator.randbytes(size_of(dimensions, kind)))
    scale = struct.pack("<e", deviation / 73.9)  # 73.9: standard deviation of a uniform signed byte
    raw[0::34] = scale[0:1] * (len(raw) // 34)
    raw[1::34] = scale[1:2] * (len(raw) // 34)
    return bytes(raw)


def padded(size):
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def main():
    options = arguments()
    if options.dim % 32 or options.ff % 32:
        raise SystemExit("--dim and --ff must be multiples of 32")
    entries = metadata(options)
    table = tensors(options)
    generator = random.Random(options.seed)
    descriptions, offset = [], 0
    for name, dimensions, kind in table:
        descriptions.append(text(name) + struct.pack("<I", len(dimensions)) +
                            struct.pack("<%dQ" % len(dimensions), *dimensions) +
                            struct.pack("<IQ", TENSOR_TYPE[kind], offset))
        offset += padded(size_of(dimensions, kind))
    head = b"GGUF" + struct.pack("<IQQ", 3, len(table), len(entries)) + b"".join(entries) + b"".join(descriptions)
    with open(options.out, "wb") as file:
        file.write(head.ljust(padded(len(head)), b"\0"))
        for name, dimensions, kind in table:
            raw = content(generator, name, dimensions, kind)
            file.write(raw.ljust(padded(len(raw)), b"\0"))
    print("%s: %d tensors, %d pieces" % (options.out, len(table), options.vocab))


if __name__ == "__main__":
    main()
