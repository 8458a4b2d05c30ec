"""The manifest of released files: the hash of every version that was ever released, newest last.

A file whose hash is in it was not touched since some release, so a newer release may replace it. Any other file was
edited: it stays, and what is new is laid beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from autograder.errors import ReleaseError

Verdict = Literal["write", "same", "lay", "keep"]
"""write   absent or untouched: the release goes here
same    this is the release already
lay     edited, and this release is new: it goes beside the file
keep    edited, and this release was laid beside it before"""


@dataclass(frozen=True)
class Manifest:
    """Released hashes by file, as "a02_attention/attention.py"."""

    versions: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str, where: str) -> Manifest:
        try:
            files = json.loads(text)["files"]
            return cls({str(name): tuple(str(value) for value in hashes) for name, hashes in files.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReleaseError(
                "the manifest of released files is damaged, so nothing says which files were edited",
                where=where,
                mend="git checkout -- assignments/.released.json",
            ) from error

    def text(self) -> str:
        files = {name: list(hashes) for name, hashes in sorted(self.versions.items())}
        note = "every version ever released, newest last: how a release tells an untouched file from an edited one"
        return json.dumps({"about": note, "files": files}, indent=1) + "\n"

    def newest(self, name: str) -> str:
        hashes = self.versions.get(name, ())
        return hashes[-1] if hashes else ""

    def knows(self, name: str, sha: str) -> bool:
        """Whether that content of the file was ever released."""
        return sha in self.versions.get(name, ())

    def judge(self, name: str, present: str | None, fresh: str) -> Verdict:
        """What a release of the hash `fresh` does where a file of the hash `present` stands."""
        if present == fresh:
            return "same"
        if present is None or self.knows(name, present):
            return "write"
        return "keep" if self.newest(name) == fresh else "lay"

    def with_released(self, fresh: Mapping[str, str]) -> Manifest:
        """The manifest after a release; a version that comes back is the newest again."""
        versions = dict(self.versions)
        for name, sha in fresh.items():
            versions[name] = (*(known for known in versions.get(name, ()) if known != sha), sha)
        return Manifest(versions)
