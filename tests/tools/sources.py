"""For the checks of `make lint`: which files there are, and their code without comments
and the insides of strings."""
import os
import re
import subprocess

STREAM = ("worker/stream",) + tuple("worker/stream/" + inside for inside in
                                   ("packed", "prepare", "profile", "spool", "text"))
ROOMS = ("common", "common/net", "server", "worker", "worker/model", *STREAM, "launch",
         "tests")


def files(*endings):
    """Paths of the project's files with these endings, as git knows them; without git
    (a copy), all that there are."""
    known = subprocess.run(["git", "ls-files", "--cached", "--others",
                            "--exclude-standard"], capture_output=True, text=True)
    if known.returncode == 0 and known.stdout:
        names = known.stdout.split("\n")
    else:
        names = [os.path.relpath(os.path.join(folder, name))
                 for folder, _, inside in os.walk(".") for name in inside]
        names = [n for n in names if n.split("/")[0] not in ("build", "runs", ".git")]
    return sorted({n for n in names if n.endswith(endings) and os.path.isfile(n)})


def room(path):
    """The room that a file is in, or None: the longest prefix among ROOMS."""
    inside = [r for r in ROOMS if path.startswith(r + "/")]
    return max(inside, key=len) if inside else None


TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def code(text):
    """The text with comments and the insides of strings blanked; lines stay lines."""
    def blank(match):
        token = match.group()
        if token[0] in "\"'":
            return token[0] * 2
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(blank, text)


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
