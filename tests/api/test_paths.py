"""Which route a path belongs to."""

import pytest

from serve_app.paths import PathTable

TABLE = PathTable(
    {
        path: path
        for path in (
            "/booking/bulk",
            "/booking/{booking_id}",
            "/booking/{booking_id}/status",
            "/booking/vendor/{vendor_id}",
            "/",
        )
    }
)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", ("/", "")),
        ("/booking/bulk", ("/booking/bulk", "")),
        ("/booking/7", ("/booking/{booking_id}", "7")),
        ("/booking/7/status", ("/booking/{booking_id}/status", "7")),
        ("/booking/bulk/status", ("/booking/{booking_id}/status", "bulk")),
        ("/booking/vendor/7", ("/booking/vendor/{vendor_id}", "7")),
        ("/booking/vendor/status", ("/booking/vendor/{vendor_id}", "status")),
        ("/booking/vendor", ("/booking/{booking_id}", "vendor")),
        ("/booking", None),
        ("/booking/", None),
        ("/booking//status", None),
        ("/booking/vendor/", None),
        ("/booking/7/8", None),
        ("/booking/7/status/", None),
        ("/booking/vendor/7/8", None),
        ("booking/7", None),
        ("", None),
        ("//", None),
    ],
)
def test_a_path_and_its_route(path, found):
    assert TABLE.find(path) == found


@pytest.mark.parametrize("path", ["/a/{one}/b/c", "/a/{one}/{two}"])
def test_a_path_that_the_table_cannot_hold_is_refused_when_it_is_made(path):
    with pytest.raises(ValueError, match="stands in the last segment"):
        PathTable({path: 1})
