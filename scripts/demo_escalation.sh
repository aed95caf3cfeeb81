#!/usr/bin/env bash
# Plays the escalation of policy_packs/continuity from its first reminder to its end, in seconds: real mail, SMS, posts, web hooks and
# a push, all to servers on this machine. The clock is told to `orch tick --now`; nothing else is made up.
#
#   make demo-escalation            or, after `make install`:   scripts/demo_escalation.sh
#
# DEMO_DRILL=1 rehearses it first, DEMO_KEEP=1 keeps its folder. Needs git.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${DEMO_BIN:-$root/.venv/bin}
if ! [ -x "$bin/orch" ]; then
    echo "there is no $bin/orch; run: make install" >&2
    exit 1
fi

here=$(mktemp -d "${TMPDIR:-/tmp}/orch-demo.XXXXXX")
run=$(mktemp -d /tmp/od.XXXXXX)          # a socket's path has to be short
servers=
cleanup() {
    "$bin/orch" sidecar stop >/dev/null 2>&1 || true
    [ -z "$servers" ] || kill "$servers" 2>/dev/null || true
    [ -z "$servers" ] || wait "$servers" 2>/dev/null || true
    rm -rf "$run"
    if [ -n "${DEMO_KEEP:-}" ]; then echo "kept: $here"; else rm -rf "$here"; fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi

# Nothing of the user's own configuration is seen, and nothing is left behind.
for name in $(compgen -e | grep -E '^(ORCH_|XDG_|GIT_|HTTPS?_PROXY|https?_proxy|ALL_PROXY|all_proxy)' || true); do unset "$name"; done
export HOME=$here XDG_RUNTIME_DIR=$run GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null PYTHONSAFEPATH=1
export GIT_AUTHOR_NAME=Demo GIT_AUTHOR_EMAIL=demo@example.com GIT_COMMITTER_NAME=Demo GIT_COMMITTER_EMAIL=demo@example.com

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

shown=0
arrived() { # show what arrived since the last time
    local lines
    lines=$(wc -l <"$here/arrived")
    if [ "$lines" -gt "$shown" ]; then tail -n "+$((shown + 1))" "$here/arrived" | head -n "$((lines - shown))"; fi
    shown=$lines
}

orch() { # show a command, and what it says; its exit code is not the demo's
    local code=0
    printf '%s$ orch %s%s\n' "$dim" "$*" "$plain"
    "$bin/orch" "$@" >"$here/said" 2>&1 || code=$?
    sed 's/^/  /' "$here/said"
    arrived
    [ "$code" -eq 0 ] || printf '  %s(exit code %d)%s\n' "$dim" "$code" "$plain"
    last=$code
}

must() { # the demo fails where this is not what came of the last command
    if [ "$last" -ne "$1" ]; then
        echo "the demo expected exit code $1" >&2
        exit 1
    fi
}

at() { # a time so many minutes (and seconds) after the deadline of this cycle
    "$bin/python" -c 'import sys
from datetime import UTC, datetime, timedelta
moved = timedelta(minutes=int(sys.argv[2]), seconds=int(sys.argv[3]))
print((datetime.fromisoformat(sys.argv[1]) + moved).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))' "$deadline" "$1" "${2:-0}"
}

tick() { orch tick --now "$(at "$@")"; }

as() { export ORCH_SUBJECT=$1; }

# --- servers, packs, and a checkout to publish from -------------------------------------------------------------------
: >"$here/arrived"
"$bin/python" "$root/scripts/demo_escalation_servers.py" "$here" &
servers=$!
for _ in $(seq 200); do
    [ -f "$here/ports" ] && break
    kill -0 "$servers" 2>/dev/null || { echo "the servers did not start" >&2; exit 1; }
    sleep 0.05
done
read -r smtp http <"$here/ports"

cp -R "$root/policy_packs/continuity" "$here/packs"
# The packs do not let others be told at a time that somebody gave. Here time is played, so this copy leaves that rule out.
"$bin/python" - "$here/packs" <<'COPY'
import re
import sys
from pathlib import Path

pack, tests = Path(sys.argv[1], "pack.yaml"), Path(sys.argv[1], "tests.yaml")
left = re.sub(r"  - id: no-borrowed-time\n(?:    .*\n)+\n?", "", pack.read_text())
assert left != pack.read_text(), "the packs have no rule no-borrowed-time"
pack.write_text(left)
tests.unlink()  # they are of the whole pack
COPY
git init --quiet --bare "$here/remote.git"
git init --quiet --initial-branch=main "$here/work"
git -C "$here/work" commit --quiet --allow-empty --message Begin
git -C "$here/work" branch notices
git -C "$here/work" remote add origin "file://$here/remote.git"
git -C "$here/work" push --quiet origin main notices
cat >"$here/config.yaml" <<CONFIG
packs: [packs]
ledger: ledger
secrets:
  OPERATOR_MAIL: {env: OPERATOR_MAIL, actions: [send_message]}
  OPERATOR_PHONE: {env: OPERATOR_PHONE, actions: [send_message]}
  ANNA_MAIL: {env: ANNA_MAIL, actions: [send_message]}
  BEN_MAIL: {env: BEN_MAIL, actions: [send_message]}
  WATCHER_URL: {env: WATCHER_URL, actions: [call_webhook]}
channels:
  mail: {adapter: mail, host: 127.0.0.1, port: $smtp, security: none, from: orch@example.com}
  sms: {adapter: apprise, url: "json://127.0.0.1:$http/sms/{to}"}
  announcements: {adapter: apprise, url: "json://127.0.0.1:$http/announcements"}
adapters:
  git: {author: "Orch <orch@example.com>", url: "file://$here/remote.git"}
  webhook: {endpoints: {observers: {url: "http://127.0.0.1:$http/observers"}}}
CONFIG
export ORCH_CONFIG=$here/config.yaml
export OPERATOR_MAIL=ona@example.com OPERATOR_PHONE=+15550001111 ANNA_MAIL=anna@example.com BEN_MAIL=ben@example.com
export WATCHER_URL=http://127.0.0.1:$http/watcher
cd "$here/work"

# The first deadline is now: its reminders lie behind us, and it can be renewed by the real clock.
deadline=$("$bin/python" -c 'import time; print(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))')

say "Time is played here: each tick is told with --now which time it is. The packs deny to tell others at such a time (rule
no-borrowed-time), or whoever may tick could release; the copy that is played leaves that rule out. Yours should keep it."
say "1. The packs are right, and so is the escalation: what is proven of it"
orch policy validate "$here/packs"
must 0

say "2. Codes to renew it with, shown once (here they are shown to you; keep yours)"
as user:ona
"$bin/orch" code new continuity --spare 1 --print >"$here/codes" 2>"$here/said" || { cat "$here/said"; exit 1; }
sed 's/^/  /' "$here/codes"
code=$(awk '/as often as/ {print $1; exit}' "$here/codes")

if [ -n "${DEMO_DRILL:-}" ]; then # rehearse it first
    say "A drill: all of it at once, marked, to the operator alone"
    as job:continuity
    orch drill continuity
    must 0
    as user:ona
fi

say "3. The countdown begins: 24 hours"
orch set-deadline --now "$(at -1440)" --at "$(at 0)"
must 0
as job:continuity
tick -1439
must 0

say "4. A second before the first reminder nothing happens; 6 hours before the deadline it goes out"
tick -360 -1
must 0
tick -360
must 0

say "5. A cron job that comes twice sends nothing twice"
tick -360
must 0

say "6. One hour before: mail and SMS"
tick -60
must 0

say "7. A wrong code is refused; the right one begins a new cycle. Codes come by standard input, never as an argument"
as user:ona
printf '%s$ echo WRONG | orch renew%s\n' "$dim" "$plain"
printf 'WRONG-CODE-0000' | "$bin/orch" renew continuity 2>&1 | sed 's/^/  /' || true
printf '%s$ orch renew < code%s\n' "$dim" "$plain"
printf '%s' "$code" | "$bin/orch" renew continuity 2>&1 | sed 's/^/  /'
deadline=$("$bin/orch" status continuity -o json | "$bin/python" -c 'import json, sys; print(json.load(sys.stdin)["deadline"])')
deadline=$(at 0 1)   # it has a fraction of a second, too
as job:continuity

say "8. Now nobody renews. The reminders of the second cycle"
tick -360
must 0
tick -60
must 0

say "9. 15 minutes before the deadline: the last warning"
tick -15
must 0

say "10. One minute after it the custodians are written to. One mailbox is busy: only that one is owed"
tick 1
must 1

say "11. The next tick writes to that one alone"
tick 6
must 0

say "12. Two hours after the deadline: the public, a document, its push, the observers"
tick 120
must 0
printf '  %son the remote, branch notices:%s\n' "$dim" "$plain"
git --git-dir "$here/remote.git" show notices:NOTICE.md | sed 's/^/       | /'

say "13. Then there is nothing left to do, however often it ticks"
tick 5000
must 0
orch status continuity --now "$(at 5001)"

say "14. Everything that was decided, sent and answered is in the ledger, and no address"
if grep -rqa -F -e ona@example.com -e anna@example.com -e ben@example.com -e 5550001111 "$here/ledger"; then
    echo "an address is in the ledger" >&2
    exit 1
fi
orch ledger heads sign
must 0
orch ledger verify
must 0
say "That was it: two cycles, one renewal, six stages. policy_packs/continuity is yours to copy."
