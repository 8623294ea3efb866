"""Checks the licences, sources and double versions of all crates against deny.toml.

A stand-in for `cargo deny check licenses bans sources` where that is not installed. It knows
less: licence expressions of AND, OR and parentheses, exact names, no exceptions for one crate.
"""

import json
import re
import subprocess
import sys
import tomllib

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def allowed(expression, names):
    """Whether an SPDX expression can be met with the allowed names."""
    text = expression.replace("/", " OR ")
    tokens = re.findall(r"\(|\)|[^()\s]+", text)
    python = []
    while tokens:
        token = tokens.pop(0)
        if token in ("AND", "OR"):
            python.append(token.lower())
        elif token in "()":
            python.append(token)
        else:
            if tokens[:1] == ["WITH"]:
                token = " ".join([token, tokens.pop(0), tokens.pop(0)])
            python.append(str(token in names))
    # Only True, False, and, or and parentheses are left.
    return eval(" ".join(python))


def packages(target):
    """The crates that a build for `target` takes."""
    command = ["cargo", "metadata", "--format-version", "1", "--all-features"]
    command += ["--filter-platform", target]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    data = json.loads(done.stdout)
    used = {node["id"] for node in data["resolve"]["nodes"]}
    return [package for package in data["packages"] if package["id"] in used]


def skipped(package, skips):
    for skip in skips:
        name, _, version = skip["crate"].partition("@")
        if name == package["name"] and (package["version"] + ".").startswith(version + "."):
            return True
    return False


def complaints(rules, found):
    names = set(rules["licenses"]["allow"])
    versions = {}
    for package in found:
        title = f"{package['name']} {package['version']}"
        if package["source"] is None:
            continue
        if package["source"] != CRATES_IO:
            yield f"{title}: unknown source {package['source']}"
        if not package["license"] or not allowed(package["license"], names):
            yield f"{title}: licence {package['license']} is not allowed"
        if not skipped(package, rules["bans"]["skip"]):
            versions.setdefault(package["name"], set()).add(package["version"])
    for name, several in sorted(versions.items()):
        if len(several) > 1:
            yield f"{name}: more than one version: {', '.join(sorted(several))}"


def main():
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    found = {}
    for target in rules["graph"]["targets"]:
        found.update({package["id"]: package for package in packages(target)})
    bad = list(complaints(rules, found.values()))
    for line in bad:
        print(line, file=sys.stderr)
    print(f"licences: {len(found)} crates, {len(bad)} complaints (cargo-deny is not installed)")
    sys.exit(1 if bad else 0)


main()
