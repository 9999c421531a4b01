"""A winner's folder → a repository of the hub, where somebody asks for that."""

from __future__ import annotations

from pathlib import Path

from bench import paths
from bench.errors import UserError
from bench.winner import folder as folders


def push(folder: Path, repository: str) -> str:
    """Upload a winner to a private repository, which is made where there is none.

    The token is that of `hf auth login`, or HF_TOKEN.

    Returns:
        The address of the commit.

    Raises:
        UserError: it is no winner, the network may not be used, or the hub refuses.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    contents = folders.read(folder)
    if paths.offline():
        raise UserError(f"{folder} is not pushed: VOXGRID_OFFLINE or --offline forbids the network")
    hub = HfApi()
    try:
        hub.create_repo(repository, private=True, exist_ok=True)
        done = hub.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"voxgrid: a winner of {contents.config.task}",
        )
    except HFValidationError as error:
        raise UserError(f"'{repository}' is no name of a repository: write OWNER/NAME") from error
    except LocalTokenNotFoundError as error:
        raise UserError("the hub takes a token: log in with `hf auth login`") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{folder} cannot be pushed to {repository}: {reason}") from error
    return str(done.commit_url)
