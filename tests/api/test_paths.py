import pytest

from serve_app.paths import PathTable

PATHS = (
    "/",
    "/user/create",
    "/user/{user_id}",
    "/booking/vendor/{vendor_id}",
    "/booking/{booking_id}",
    "/booking/{booking_id}/status",
)


@pytest.fixture
def table():
    return PathTable({path: path for path in PATHS})


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/", ("/", "")),
        ("/user/create", ("/user/create", "")),
        ("/user/creates", ("/user/{user_id}", "creates")),
        ("/user/x", ("/user/{user_id}", "x")),
        ("/booking/vendor/x", ("/booking/vendor/{vendor_id}", "x")),
        ("/booking/vendor", ("/booking/{booking_id}", "vendor")),
        ("/booking/x/status", ("/booking/{booking_id}/status", "x")),
        ("/booking/vendor/status", ("/booking/vendor/{vendor_id}", "status")),
        ("", None),
        ("/user", None),
        ("/user/", None),
        ("/user//", None),
        ("/user/x/", None),
        ("/user/x/y", None),
        ("//user/x", None),
        ("/booking//status", None),
        ("/booking/x/status/", None),
        ("user/create", None),
    ],
)
def test_a_path_finds_its_route_and_name(table, path, found):
    assert table.find(path) == found


@pytest.mark.parametrize("path", ["/a/{b}/c/d", "/a/{b}/{c}"])
def test_a_path_that_the_table_cannot_hold_is_refused_at_start(path):
    with pytest.raises(ValueError, match="segment"):
        PathTable({path: path})
