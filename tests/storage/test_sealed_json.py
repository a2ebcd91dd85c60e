"""Small files with a checksum: any change of them is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sanic_dispatch.storage.sealed_json import seal_json, unseal_json


@pytest.mark.parametrize("value", [[["a", 1, 5.5], ["b/\u00e9", 34, 6.0]], [], 7, None])
def test_a_value_comes_back(value: Any) -> None:
    """It is a line of JSON, and any other content is refused."""
    content = seal_json(value)
    assert unseal_json(content) == json.loads(content)[1] == value
    cut = [content[:length] for length in range(len(content))]
    flipped = [
        bytes(byte ^ 1 << bit if at == n else byte for n, byte in enumerate(content))
        for at in range(len(content))
        for bit in range(8)
    ]
    for spoilt in (*cut, *flipped, content + b"\n"):
        with pytest.raises(ValueError, match="checksum"):
            unseal_json(spoilt)
