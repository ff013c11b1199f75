"""IPA's own functional tests against another agent.

    AGENT='/path/tacit-agent' python functional.py [unittest's arguments]

Only who is started is replaced, and two things of the tests' machine: they listen on the wildcard address (here loopback), and
with OpenSSL 3 a client offers TLS 1.0 and 1.1 only when told to (otherwise the tests' own client fails, with IPA, too).
"""

import os
import shutil
import ssl
import sys
import tempfile
import types
import unittest

os.environ.setdefault("TEST_PORT", "9899")
os.environ.setdefault("TEST_PORT_TLS", "9898")
# A tenth of a second each: on a busy machine an agent in Python takes half a minute to start.
os.environ.setdefault("IPA_WAIT_TRIES", "900")

from ironic_python_agent import netutils  # noqa: E402

netutils.get_wildcard_address = lambda: "127.0.0.1"

from ironic_python_agent.tests.functional import base, test_commands, test_tls  # noqa: E402


class WillingContext(ssl.SSLContext):
    def __new__(cls, *arguments):
        context = super().__new__(cls, *arguments)
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context


test_tls.ssl = types.SimpleNamespace(**{**vars(ssl), "SSLContext": WillingContext})
STATE = tempfile.mkdtemp(prefix="tacit-functional.")


def start(api_url, advertise, listen, attempts, sleep, interface, timeout, interval, standalone, token, cert=None, key=None):
    """In the process that the test made for its agent."""
    command = [os.environ["AGENT"], "serve", "--ipa", "--no-power", "--listen", f"127.0.0.1:{listen.port}"]
    command += ["--agent-token", token, "--state-dir", f"{STATE}/{listen.port}"]
    command += ["--tls-cert", cert, "--tls-key", key] if cert else []
    os.execv(command[0], command)


if os.environ.get("AGENT"):
    base._start_agent = test_tls._start_agent_with_tls = start

TestCommands, TestTLSEnforcement = test_commands.TestCommands, test_tls.TestTLSEnforcement
if __name__ == "__main__":
    program = unittest.main(argv=sys.argv, exit=False, verbosity=2)
    shutil.rmtree(STATE)
    sys.exit(not program.result.wasSuccessful() or program.result.testsRun != 2)
