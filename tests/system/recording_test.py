#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""record and replay: the same traces again on any machine, no content unless asked for, damage told and survived."""
import json
import pathlib
import struct
import subprocess
import sys
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
import fixtures
from fixtures import Agent, LlamaServer, Process, SystemTest, agent_binary, run_cli

SECRET = "xylophoneprompt"
# They follow from the agent's numbers for connections, or from when this agent looked at the clock.
# What each capture sees of threads by itself, and at times of its own.
OF_THREADS = ("inferscope.explanation", "inferscope.cause.", "inferscope.cpu.", "inferscope.time_parts.",
              "inferscope.steps.", "inferscope.delays.")
OF_THIS_CAPTURE = ("trace_id", "span_id", "parent_span_id", "start_time_unix_nano", "end_time_unix_nano",
                   "process.creation.time")


def frames(data):
    """(kind, content) of each frame of a recording: the format as agent/source/recording.h describes it."""
    assert data[:12] == b"IFSCREC\n" + struct.pack("<I", 1), data[:12]
    at = 12
    while at < len(data):
        kind, size, plain_size, checksum = struct.unpack_from("<cIII", data, at)
        at += 13
        packed = data[at:at + size]
        assert len(packed) == size and zlib.crc32(packed) == checksum
        plain = subprocess.run(["zstd", "-dc"], input=packed, capture_output=True, check=True).stdout if size else b""
        assert len(plain) == plain_size
        yield kind, plain
        at += size


class RecordingTest(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = LlamaServer(cls.folder)
        watch = {"watch": {"automatic": False, "include": [{"port": cls.server.port}]}}
        cls.agent = Agent(cls.folder, watch).wait_watching(cls.server)
        (cls.folder / "record.yaml").write_text(json.dumps(watch))
        cls.masked, cls.kept = cls.folder / "masked.rec", cls.folder / "kept.rec"
        recorders = [cls.record(cls.masked), cls.record(cls.kept, "--keep-content")]
        cls.replies = cls.traffic()
        cls.live = [cls.agent.trace_of(reply) for reply in cls.replies]
        for recorder in recorders:
            assert recorder.end(fixtures.signal.SIGINT) == 0, recorder.log()

    @classmethod
    def record(cls, path, *options):
        recorder = Process([agent_binary(), "record", path, "-c", cls.folder / "record.yaml", *options],
                           path.with_suffix(".log"))
        fixtures.wait_until(lambda: "recording to" in recorder.log() and "watching pid" in recorder.log(), recorder.log)
        return recorder

    @classmethod
    def traffic(cls):
        replies = []
        for number in range(6):
            with cls.server.client() as client:
                replies.append(client.get("/health"))
                replies.append(client.chat(text=f"{SECRET} {number}", stream=number % 2 == 0, max_tokens=4 + number,
                                           headers={"Authorization": f"Bearer {SECRET}"}, user=SECRET))
        with cls.server.client() as client:
            replies.append(client.chat(text=SECRET, stream=True, max_tokens=500, cancel_after=4))
        with cls.server.client() as client:
            replies.append(client.post("/v1/chat/completions", b'{"messages": ' + SECRET.encode()))
        return replies

    def replay(self, path, *options, code=0):
        done = run_cli("replay", path, *options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done

    def test_replay_is_deterministic(self):
        for path in (self.masked, self.kept):
            one, two = (self.replay(path, "--json", "--token-times").stdout for _ in range(2))
            self.assertEqual(one, two)
            self.assertGreaterEqual(len(one.splitlines()), len(self.replies))

    def test_replay_equals_the_live_agent(self):
        for path in (self.masked, self.kept):
            replayed = {}
            for line in self.replay(path, "--json", "--token-times").stdout.splitlines():
                trace = json.loads(line)
                replayed.setdefault(trace["client.port"], []).append(trace)
            for reply, live in zip(self.replies, self.live):
                self.assert_same(replayed[reply.client_port][reply.number], live)

    def assert_same(self, replayed, live):
        replayed, live = ({key: value for key, value in trace.items() if not key.startswith(OF_THREADS)}
                          for trace in (replayed, live))
        self.assertEqual(replayed.keys(), live.keys())
        for key, value in live.items():
            if key in ("start_time_unix_nano", "end_time_unix_nano"):
                self.assertLess(abs(replayed[key] - value), 5_000_000, key)
            elif key == "inferscope.token_times":
                self.assertEqual(len(replayed[key]), len(value))
                for one, other in zip(replayed[key], value):
                    self.assertAlmostEqual(one, other, delta=0.005)
            elif float in (type(value), type(replayed[key])) and not key.startswith(("gen_ai.request", "inferscope.engine.p")):
                # A time of 0 is no float in JSON.
                self.assertAlmostEqual(replayed[key], value, delta=0.005, msg=key)
            elif key not in OF_THIS_CAPTURE:
                self.assertEqual(replayed[key], value, key)

    def test_content_is_kept_only_when_asked_for(self):
        masked = b"".join(content for _, content in frames(self.masked.read_bytes()))
        kept = b"".join(content for _, content in frames(self.kept.read_bytes()))
        self.assertGreater(len(masked), 5000)
        self.assertIn(SECRET.encode(), kept)
        self.assertNotIn(SECRET.encode(), masked)
        self.assertNotIn(SECRET.encode(), self.masked.read_bytes())
        for reply in self.replies:
            for word in self.words_of(reply):
                self.assertIn(word, kept)
                self.assertNotIn(word, masked)

    def words_of(self, reply):
        if reply.status != 200 or not reply.events:
            return []
        text = [event.json()["choices"][0]["delta"]["content"] for event in reply.token_events()]
        return [word.strip().encode() for word in text if len(word.strip()) > 5]

    def test_info_and_other_views(self):
        self.assertIn("content       masked", self.replay(self.masked, "--info").stdout)
        self.assertIn("content       kept", self.replay(self.kept, "--info").stdout)
        table = self.replay(self.masked).stdout
        self.assertNotIn("/health", table)
        self.assertIn("/v1/chat/completions", table)
        self.assertIn("/health", self.replay(self.masked, "--all").stdout)
        self.assertNotIn(SECRET, self.replay(self.kept, "--all", "--events").stdout)

    def damaged(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def test_cut_recordings(self):
        data = self.masked.read_bytes()
        whole = len(self.replay(self.masked, "--json").stdout.splitlines())
        kinds = [kind for kind, _ in frames(data)]
        self.assertEqual([kinds[0], kinds[-1]], [b"H", b"E"])
        before_end = self.replay(self.damaged("no-end.rec", data[:-13]), "--json", code=1)
        self.assertEqual(len(before_end.stdout.splitlines()), whole)  # what stands before the damage is used
        self.assertIn("damaged", before_end.stderr)
        for size in (len(data) - 1, len(data) - 40, len(data) // 2, 60):
            done = self.replay(self.damaged("cut.rec", data[:size]), "--json", code=1)
            self.assertIn("damaged", done.stderr)
            self.assertLessEqual(len(done.stdout.splitlines()), whole)

    def test_altered_recordings(self):
        data = bytearray(self.masked.read_bytes())
        data[len(data) // 2] ^= 0x40
        self.assertIn("damaged", self.replay(self.damaged("altered.rec", data), "--json", code=1).stderr)
        for text in (b"", b"IFSC", b"something else entirely\n" * 10):
            self.assertIn("no inferscope recording", self.replay(self.damaged("other", text), code=2).stderr)

    def test_recording_of_another_version(self):
        data = bytearray(self.masked.read_bytes())
        struct.pack_into("<I", data, 8, 99)
        done = run_cli("replay", self.damaged("version.rec", data))
        self.assertIn(done.returncode, (1, 2))
        self.assertIn("99", done.stderr)
        self.assertIn("version", done.stderr)

    def test_recording_that_ends_by_itself(self):
        path = self.folder / "timed.rec"
        done = run_cli("record", path, "-c", self.folder / "record.yaml", "-t", "0.5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.replay(path, "--json")
        done = run_cli("record", self.folder / "no" / "such" / "folder", "-c", self.folder / "record.yaml", "-t", "1")
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("cannot create", done.stderr)

    def test_record_from_a_killed_recorder(self):
        """SIGKILL: what was written up to then can be read."""
        path = self.folder / "killed.rec"
        recorder = self.record(path, "--keep-content")
        for _ in range(100):
            if path.stat().st_size > 0:
                break
            self.traffic()
        recorder.end(fixtures.signal.SIGKILL)
        done = self.replay(path, "--json", code=1)
        self.assertIn("damaged", done.stderr)
        self.assertGreater(len(done.stdout.splitlines()), 1)


if __name__ == "__main__":
    fixtures.main()
