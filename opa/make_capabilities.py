"""Write `capabilities.json`: what rules may call, so that a decision depends on its input alone.

Takes what the pinned OPA can do and leaves out every built-in whose answer depends on network, clock, chance or host,
and those that write to a log. A new OPA that brings a nondeterministic built-in loses it here by itself;
`make capabilities` runs this file.
"""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

LEFT_OUT = {
    "http.send": "network",
    "net.lookup_ip_addr": "network",
    "json.match_schema": "may fetch schemas from the network",
    "json.verify_schema": "may fetch schemas from the network",
    "time.now_ns": "clock",
    "io.jwt.decode_verify": "compares with the clock; io.jwt.verify_* and io.jwt.decode do not",
    "crypto.x509.parse_and_verify_certificates": "compares with the clock and the host's certificates",
    "crypto.x509.parse_and_verify_certificates_with_options": "compares with the clock unless told a time",
    "rand.intn": "chance",
    "uuid.rfc4122": "chance",
    "io.jwt.encode_sign": "some signatures hold a random part, and a rule has no business with private keys",
    "io.jwt.encode_sign_raw": "some signatures hold a random part, and a rule has no business with private keys",
    "providers.aws.sign_req": "only of use with network and credentials",
    "opa.runtime": "shows the host's environment and configuration",
    "print": "writes input, secrets included, to a log",
    "internal.print": "what print compiles to",
    "trace": "writes input, secrets included, to a trace",
}
"""Built-in to the reason why rules may not call it."""


def capabilities(current: dict[str, list[object]]) -> dict[str, object]:
    """Return the capabilities object made from what `opa capabilities --current` printed."""
    kept = [
        builtin
        for builtin in current["builtins"]
        if isinstance(builtin, dict) and builtin["name"] not in LEFT_OUT and not builtin.get("nondeterministic")
    ]
    return {**current, "allow_net": [], "builtins": kept}


def main() -> int:
    """Write the file with the OPA named on the command line; with `--check`, only say whether it is current."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    opa = arguments[0] if arguments else str(HERE / "bin" / "opa")
    printed = subprocess.run([opa, "capabilities", "--current"], check=True, capture_output=True, timeout=60).stdout
    text = json.dumps(capabilities(json.loads(printed)), indent=1, sort_keys=True) + "\n"
    target = HERE / "capabilities.json"
    if "--check" not in sys.argv:
        target.write_text(text, encoding="utf-8")
    elif not target.is_file() or target.read_text(encoding="utf-8") != text:
        sys.stderr.write(
            "opa/capabilities.json does not fit this OPA; run `make capabilities` and look at the difference\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
