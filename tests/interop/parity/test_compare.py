"""The comparison itself: it sees what it has to see. Run by parity.sh before anything else."""

import json
import pathlib
import tempfile
import unittest

import allowed
from agents import Answer, parse
from compare import differences, places

JSON = {"content-type": "application/json", "server": "x"}


def of(body, status=200, headers=JSON):
    return places(Answer(status, dict(headers), json.dumps(body).encode()), "/dev/loop7", {"4711": "<port>"})


class Compare(unittest.TestCase):
    def test_what_is_another_each_time_is_the_same(self):
        one = {"id": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "command_result": {"result": "written to /dev/loop7 at 4711"}}
        other = {"id": "7b0d9bb0-0a69-4d0b-9d64-8d8ac7ad1c4e", "command_result": {"result": "written to <disk> at <port>"}}
        self.assertEqual(list(differences(of(one), of(other))), [])

    def test_every_place_counts(self):
        right = {"command_name": "sync", "command_error": None, "command_result": {"a": [1, {"b": "c"}]}}
        for wrong in (
            {**right, "command_name": "standby.sync"},
            {**right, "command_error": {}},
            {**right, "more": None},
            {key: value for key, value in right.items() if key != "command_error"},
            {**right, "command_result": {"a": [1, {"b": "d"}]}},
            {**right, "command_result": {"a": [1, {"b": "c"}, 2]}},
            {**right, "command_result": {"a": [True, {"b": "c"}]}},
            {**right, "command_result": {"a": []}},
        ):
            self.assertTrue(list(differences(of(right), of(wrong))), wrong)
        for status, headers in ((201, JSON), (200, {**JSON, "location": "/"}), (200, {**JSON, "content-type": "text/plain"}), (200, {})):
            self.assertTrue(list(differences(of(right), of(right, status, headers))), (status, headers))

    def test_steps_and_lists_of_commands(self):
        def listed(**more):
            return of({"command_result": {"clean_steps": {"M": [{"step": "s", "priority": 1, "interface": "deploy", **more}]}}})

        self.assertTrue(list(differences(listed(), listed(priority=2))))
        self.assertTrue(list(differences(listed(), listed(argsinfo={"a": {"required": True}}))))
        command = {"id": "i", "command_name": "a", "command_status": "RUNNING", "command_error": None, "command_result": None}
        for wrong in ({**command, "command_status": "FAILED"}, {**command, "command_params": {}}, {"command_name": "a", "command_status": "RUNNING"}):
            self.assertTrue(list(differences(of({"commands": [command]}), of({"commands": [wrong]}))), wrong)

    def test_answers_that_are_cut_off_are_none(self):
        for received in (b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"):
            with self.assertRaises(ValueError):
                parse(received, "GET")


class Allowed(unittest.TestCase):
    def judge(self, reasons, found):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "allowed.json")
            path.write_text(json.dumps(reasons))
            verdict = allowed.judge(path, found)
        return len(verdict.unknown), len(verdict.stale)

    def test_only_what_is_pinned_is_allowed(self):
        reasons = [{"why": "w", "differences": [["status", 404, 200, ["a"]], ["header server", "x", "y", "*"]]}]
        both = [("a", "status", 404, 200), ("b", "header server", "x", "y")]
        self.assertEqual(self.judge(reasons, both), (0, 0))
        for changed in (("b", "status", 404, 200), ("a", "status", 404, 201), ("a", "status", 405, 200), ("a", "body", 404, 200)):
            self.assertEqual(self.judge(reasons, [*both, changed]), (1, 0), changed)
        self.assertEqual(self.judge(reasons, both[:1]), (0, 1))
        self.assertEqual(self.judge([], both), (2, 0))

    def test_long_values_are_pinned_by_beginning_and_length(self):
        long = "x" * 1000
        reasons = [{"why": "w", "differences": [["body", allowed.pinned(long), "y", ["a"]]]}]
        self.assertEqual(self.judge(reasons, [("a", "body", long, "y")]), (0, 0))
        self.assertEqual(self.judge(reasons, [("a", "body", long + "x", "y")]), (1, 1))


if __name__ == "__main__":
    unittest.main()
