"""Names of backbones: registered ones, and addresses such as `hf:microsoft/wavlm-base`.

An address is the name of a backbone that has no plugin: it says where the model is, and
everything else is read from the model's own files.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backbones.base import BackboneError, BackboneInfo

Scheme = Literal["hf", "nemo"]
SCHEMES: tuple[Scheme, ...] = ("hf", "nemo")

# What marks a path; anything else after `hf:` is a repository of the hub.
PATH_STARTS = ("/", "./", "../", "~/")
# What the hub takes for a name.
_PART = r"[A-Za-z0-9]([\w.-]*\w)?"
_REPOSITORY = re.compile(rf"(?!.*(--|\.\.))(?!.*\.git$)({_PART}/)?(?!.{{97}}){_PART}", re.ASCII)
# `..` is in no name of git's, and would lead out of the hub's cache
_REVISION = re.compile(r"(?!.*\.\.)[\w][\w./-]*", re.ASCII)
# Of a repository in a file name, that of a commit included.
_LONGEST = 120
# Names whose characters `file_name` only has to join, so that no two give the same.
_PLAIN = re.compile(r"[A-Za-z0-9._@:/-]*", re.ASCII)


@dataclass(frozen=True)
class Address:
    """Where the model of a backbone without a plugin is.

    Attributes:
        name: as the user wrote it, and as records keep it.
        scheme: `hf` for the transformers layout, `nemo` for an archive of NeMo's.
        where: repository of the hub, or a path as the user wrote it.
        revision: branch, tag or commit of the repository; None for a path.
    """

    name: str
    scheme: Scheme
    where: str
    revision: str | None

    @property
    def path(self) -> Path | None:
        """The folder or file on this machine, or None for a repository of the hub."""
        if self.revision is not None:
            return None
        home = self.where.startswith("~/")
        return Path.home() / self.where[2:] if home else Path(self.where)

    @property
    def how_to_get(self) -> str:
        """The clause that tells a person how to get the model."""
        if self.path is None:
            pinned = f" --revision {self.revision}" if self.revision != "main" else ""
            return f"get them with: hf download {self.where}{pinned}"
        if self.scheme == "nemo":
            return "point it at a .nemo archive"
        return (
            "point it at a folder that holds config.json, preprocessor_config.json and "
            "model.safetensors, as save_pretrained writes them"
        )


def parse(name: str) -> Address | None:
    """The address in a backbone's name, or None for the name of a registered backbone.

    Raises:
        BackboneError: it begins like an address and is none.
    """
    scheme, colon, where = name.partition(":")
    if not colon:
        return None
    if scheme not in SCHEMES:
        raise BackboneError(
            f"backbone '{name}': an address begins with hf: or nemo:, as in "
            "hf:microsoft/wavlm-base, hf:./folder or nemo:model.nemo"
        )
    if scheme == "nemo":
        if not where.endswith(".nemo"):
            raise BackboneError(
                f"backbone '{name}': what follows nemo: is the path of a .nemo archive, as in "
                "nemo:models/citrinet.nemo"
            )
        return Address(name, "nemo", where, None)
    if where.startswith(PATH_STARTS):
        return Address(name, "hf", where, None)
    repository, at, revision = where.partition("@")
    if not _REPOSITORY.fullmatch(repository) or (at and not _REVISION.fullmatch(revision)):
        raise BackboneError(
            f"backbone '{name}': what follows hf: is a repository of the hub, as in "
            "hf:microsoft/wavlm-base or hf:microsoft/wavlm-base@main, or a folder, as in "
            "hf:./folder or hf:/path/to/folder"
        )
    return Address(name, "hf", repository, revision or "main")


def how_to_get(info: BackboneInfo) -> str:
    """Return the clause that tells a person how to get the weights of a backbone.

    It names `$VOXGRID_WEIGHTS` and not its value, since records keep it.
    """
    address = parse(info.name)
    if address is not None:
        return address.how_to_get
    if info.weights_id is not None and is_url(info.weights_id):
        return f"get them with: curl -L -o $VOXGRID_WEIGHTS/{info.name}.nemo {info.weights_id}"
    pinned = f" --revision {info.revision}" if info.revision not in (None, "main") else ""
    return (
        f"get them with: hf download {info.weights_id}{pinned} "
        f"--local-dir $VOXGRID_WEIGHTS/{info.name}"
    )


def is_url(weights_id: str) -> bool:
    """Whether weights are a file on the web, and not a repository of the hub."""
    return weights_id.startswith(("https://", "http://"))


def file_name(name: str) -> str:
    """A backbone's name as part of a file name: no folder separators, never the same for two.

    A registered name stays as it is and `hf:microsoft/wavlm-base` becomes
    `hf--microsoft--wavlm-base`. A path, or a repository whose name is long or has what could be
    mistaken for a separator, is cut to its last part and carries a digest of all of it.
    """
    address = parse(name)
    if address is None:
        return name
    plain = _PLAIN.fullmatch(name) and not re.search("--|__|-/|/-", name)
    joined = name.replace(":", "--").replace("/", "--")
    if address.path is None and plain and len(joined) <= _LONGEST:
        return joined
    last = re.sub(r"[^A-Za-z0-9.-]", "-", address.where.rstrip("/").rpartition("/")[2])[:60]
    return f"{address.scheme}--{last}~{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def cache_name(name: str) -> str:
    """A backbone's name as the feature cache knows it.

    It is the scheme alone for an address: two addresses of the same files, on the hub or in a
    folder, share their features, for the digests of the files are in the key.
    """
    address = parse(name)
    return name if address is None else address.scheme
