"""An adapter that writes lines into a file, and can be told to fail in every way; a package of its own, as others write.

install(folder)            # the folder then holds the module and its dist-info, to be put on sys.path
"""

from pathlib import Path

MODULE = """
import os
import signal
import time
from pathlib import Path

from orchestrator.adapter import Delivery, Effect, ErrorClass, Prepared, Receipt, failure


def _lines(place):
    file = Path(place.root, "effects")
    return file.read_text().splitlines() if file.exists() else []


class Post:
    name = "post"
    actions = frozenset({"post_note", "write_note"})

    def prepare(self, wanted, place):
        given = dict(wanted.parameters)
        targets = tuple(given.get("to") or [""])
        if given.get("how") == "bad-prepare":
            given["missing"]
        effect = Effect.WRITE if wanted.action == "write_note" else Effect.OUTWARD
        resource = {"type": "note", "id": str(given.get("id", "note")), "properties": {}}
        return Prepared(resource, given, effect, bool(given.get("replayable")), targets)

    def perform(self, action, key):
        how = action.properties.get("how", "")
        how = how.get(action.target, "") if isinstance(how, dict) else how
        once = Path(action.place.root, "once")
        if how.startswith("first-"):
            if once.exists():
                how = ""
            else:
                once.touch()
                how = how.removeprefix("first-")
        with open(Path(action.place.root, "calls"), "a") as file:
            file.write(key + "\\n")
        if how == "kill-before":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "change-packs":
            with open(action.properties["packs"], "a") as file:
                file.write(action.properties["rule"])
        if how == "slow":
            Path(action.place.root, "slow").touch()
            while not Path(action.place.root, "go").exists():
                if action.is_cancelled():
                    raise failure("cancelled", delivery=Delivery.RETRYABLE)
                time.sleep(0.01)
        action.recheck()
        if how == "odd":
            raise ZeroDivisionError("odd")
        if how == "exit":
            raise SystemExit(9)
        if how == "nonsense":
            return "delivered"
        if how == "refuse":
            return Receipt(Delivery.PERMANENT, detail="refused", error_class=ErrorClass.PERMANENT, outputs={"status": 422})
        if how == "busy":
            return Receipt(Delivery.RETRYABLE, detail="busy", error_class=ErrorClass.TRANSIENT, retry_after_s=7.5)
        if how == "hang":
            time.sleep(30)
        note = action.place.reveal(str(action.properties.get("note", "")))
        with open(Path(action.place.root, "effects"), "a") as file:
            file.write(f"{key} {action.target} {note}\\n")
        if how == "kill-after":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "lose":
            return Receipt(Delivery.UNKNOWN, detail="the reply was lost")
        if how == "not-json":
            return Receipt(Delivery.DELIVERED, outputs={"x": {1, 2}})
        used = action.properties.get("used") or {}
        outputs = {"said": f"{note} by {key[:4]}"}
        return Receipt(Delivery.DELIVERED, f"note:{key[:8]}", outputs=outputs, used=used)

    def reconcile(self, action, key):
        if action.properties.get("blind"):
            return None
        if any(line.split()[0] == key for line in _lines(action.place)):
            return Receipt(Delivery.DELIVERED, f"note:{key[:8]}", outputs={"said": "found"})
        return Receipt(Delivery.RETRYABLE, detail="it is not there")
"""


def install(folder: Path) -> Path:
    """Write the package as pip leaves one, and return the folder for sys.path."""
    info = folder / "orch_post-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "orch_post.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orch-post\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[orchestrator.adapters]\npost = orch_post:Post\n")
    return folder
