from uuid import uuid4

import pytest

from tests.api.driving import PASSWORD, done, instant, refused, unique_email


async def test_an_account_is_opened_and_read(api):
    body = {
        "email": unique_email(),
        "password": PASSWORD,
        "name": "Ada Lovelace",
        "phone": "+43 1 234",
        "locale": "de-AT",
    }
    response = await api.http.post("/user/create", json=body)
    made = done(response, 201)

    assert response.headers["etag"] == '"1"'
    assert {name: made[name] for name in ("email", "name", "phone", "locale", "version")} == {
        "email": body["email"],
        "name": "Ada Lovelace",
        "phone": "+43 1 234",
        "locale": "de-AT",
        "version": 1,
    }
    assert "password" not in response.text
    instant(made["created_at"])

    headers = await api.login("user", body)
    read = await api.http.get(f"/user/{made['user_id']}", headers=headers)
    assert done(read) == made
    assert read.headers["etag"] == '"1"'


async def test_what_was_not_said_is_null(api):
    body = {"email": unique_email(), "password": PASSWORD, "name": "Ada"}
    made = done(await api.http.post("/user/create", json=body), 201)
    assert (made["phone"], made["locale"]) == (None, None)
    body = {"email": unique_email(), "password": PASSWORD, "name": "Ada", "phone": None, "locale": None}
    done(await api.http.post("/user/create", json=body), 201)


async def test_an_email_belongs_to_one_account_whatever_its_case(api):
    ada = await api.user()
    body = {"email": ada.email.upper(), "password": PASSWORD, "name": "Another"}
    refused(await api.http.post("/user/create", json=body), 409, "email_taken")
    assert await api.login("user", {"email": ada.email.upper(), "password": PASSWORD})


async def test_a_vendor_may_have_a_users_email(api):
    ada = await api.user()
    assert (await api.restaurant(email=ada.email)).id


async def test_a_token_tells_who_and_how_long(api):
    ada = await api.user()
    token = done(await api.http.post("/user/login", json={"email": ada.email, "password": PASSWORD}))
    assert token["token_type"] == "Bearer"
    assert token["user_id"] == ada.id
    assert isinstance(token["expires_in"], int)
    assert token["expires_in"] > 0


async def test_a_wrong_address_and_a_wrong_password_are_told_alike(api):
    ada = await api.user()
    wrong = await api.http.post("/user/login", json={"email": ada.email, "password": "wrong horse"})
    unknown = await api.http.post("/user/login", json={"email": unique_email(), "password": "wrong horse"})
    assert refused(wrong, 401, "unauthenticated") == refused(unknown, 401, "unauthenticated")
    short = await api.http.post("/user/login", json={"email": "no address", "password": "x"})
    refused(short, 401, "unauthenticated")


async def test_a_login_is_for_its_own_role(api):
    ada = await api.user()
    refused(
        await api.http.post("/vendor/login", json={"email": ada.email, "password": PASSWORD}), 401, "unauthenticated"
    )


async def test_only_failed_logins_are_limited(api):
    ada = await api.user()
    for _ in range(12):
        await api.login("user", ada.body)
    for _ in range(10):
        wrong = await api.http.post("/user/login", json={"email": ada.email, "password": "wrong horse"})
        refused(wrong, 401, "unauthenticated")
    shut = await api.http.post("/user/login", json={"email": ada.email, "password": PASSWORD})
    assert refused(shut, 429, "rate_limited")["transient"] is True
    assert int(shut.headers["retry-after"]) > 800
    assert (await api.http.get(f"/user/{ada.id}", headers=ada.headers)).status_code == 200


async def test_an_account_is_changed_in_part(api):
    ada = await api.user(phone="+43 1")
    changed = await api.http.put(f"/user/{ada.id}", json={"name": "Ada King", "locale": "en"}, headers=ada.headers)
    content = done(changed)
    assert (content["name"], content["locale"], content["phone"], content["version"]) == ("Ada King", "en", "+43 1", 2)
    assert changed.headers["etag"] == '"2"'
    assert done(await api.http.get(f"/user/{ada.id}", headers=ada.headers)) == content


async def test_null_clears_and_absent_keeps(api):
    ada = await api.user(phone="+43 1", locale="de")
    content = done(await api.http.put(f"/user/{ada.id}", json={"phone": None}, headers=ada.headers))
    assert (content["phone"], content["locale"]) == (None, "de")
    response = await api.http.put(f"/user/{ada.id}", json={"name": None}, headers=ada.headers)
    refused(response, 422, "invalid_request", "name")


async def test_a_change_that_changes_nothing_is_no_new_version(api):
    ada = await api.user()
    assert done(await api.http.put(f"/user/{ada.id}", json={}, headers=ada.headers))["version"] == 1
    assert (
        done(await api.http.put(f"/user/{ada.id}", json={"name": ada.body["name"]}, headers=ada.headers))["version"]
        == 1
    )


async def test_a_stale_version_is_a_conflict(api):
    ada = await api.user()
    url, headers = f"/user/{ada.id}", {**ada.headers, "If-Match": '"1"'}
    done(await api.http.put(url, json={"name": "One"}, headers=headers))
    refused(await api.http.put(url, json={"name": "Two"}, headers=headers), 412, "version_conflict")
    refused(await api.http.put(url, json={}, headers=headers), 412, "version_conflict")
    done(await api.http.put(url, json={"name": "Three"}, headers={**ada.headers, "If-Match": "*"}))
    done(await api.http.put(url, json={"name": "Four"}, headers={**ada.headers, "If-Match": '"3"'}))


async def test_who_had_a_stale_version_reads_the_database(api, server):
    """It may have come from a cache that nobody told of the newer one."""
    if server is None:
        pytest.skip("a running server's cache is not ours to look into")
    ada = await api.user()
    url = f"/user/{ada.id}"
    done(await api.http.put(url, json={"name": "One"}, headers=ada.headers))
    refused(
        await api.http.put(url, json={"name": "Two"}, headers={**ada.headers, "If-Match": '"1"'}),
        412,
        "version_conflict",
    )
    assert await server.redis.get(f"holdfast:user:{ada.id}") == b"9" * 16
    assert done(await api.http.get(url, headers=ada.headers))["name"] == "One"


async def test_a_new_password_needs_the_old_one(api):
    ada = await api.user()
    url = f"/user/{ada.id}"
    refused(
        await api.http.put(url, json={"password": "new horse battery"}, headers=ada.headers),
        422,
        "invalid_request",
        "current_password",
    )
    wrong = {"password": "new horse battery", "current_password": "wrong horse"}
    refused(await api.http.put(url, json=wrong, headers=ada.headers), 403, "forbidden")
    right = {"password": "new horse battery", "current_password": PASSWORD}
    assert done(await api.http.put(url, json=right, headers=ada.headers))["version"] == 2

    refused(await api.http.post("/user/login", json={"email": ada.email, "password": PASSWORD}), 401, "unauthenticated")
    new = await api.login("user", {"email": ada.email, "password": "new horse battery"})
    done(await api.http.get(url, headers=new))


async def test_a_new_password_ends_older_tokens_within_a_minute(api, clock):
    ada = await api.user()
    url = f"/user/{ada.id}"
    clock.advance(seconds=1)
    body = {"password": "new horse battery", "current_password": PASSWORD}
    done(await api.http.put(url, json=body, headers=ada.headers))
    new = await api.login("user", {"email": ada.email, "password": "new horse battery"})
    clock.advance(seconds=31)
    refused(await api.http.get(url, headers=ada.headers), 401, "unauthenticated")
    done(await api.http.get(url, headers=new))


async def test_a_token_ends_by_itself(api, clock):
    ada = await api.user()
    clock.advance(hours=2)
    refused(await api.http.get(f"/user/{ada.id}", headers=ada.headers), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"email": "ada"}, "email"),
        ({"email": 1}, "email"),
        ({"email": "a" * 200 + "@x.org"}, "email"),
        ({"password": "1234567"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"password": "1234567\0"}, "password"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"name": None}, "name"),
        ({"phone": 43}, "phone"),
        ({"locale": "not a tag"}, "locale"),
        ({"role": "operator"}, "role"),
        ({"user_id": str(uuid4())}, "user_id"),
    ],
)
async def test_a_bad_account_names_the_field(api, given, path):
    body = {"email": unique_email(), "password": PASSWORD, "name": "Ada", **given}
    refused(await api.http.post("/user/create", json=body), 422, "invalid_request", path)


async def test_an_account_without_its_fields_names_them(api):
    content = refused(await api.http.post("/user/create", json={}), 422, "invalid_request", "email")
    assert {error["path"] for error in content["errors"]} == {"email", "password", "name"}


async def test_strangers_and_ghosts_are_not_found(api):
    ada, bob = await api.user(), await api.user()
    refused(await api.http.get(f"/user/{ada.id}", headers=bob.headers), 404, "not_found")
    refused(await api.http.put(f"/user/{ada.id}", json={"name": "Bob"}, headers=bob.headers), 404, "not_found")
    refused(await api.http.get(f"/user/{uuid4()}", headers=bob.headers), 404, "not_found")
    refused(await api.http.get("/user/nonsense", headers=bob.headers), 404, "not_found")
    refused(await api.http.get(f"/user/{uuid4()}", headers=api.operator), 404, "not_found")
    refused(await api.http.get(f"/user/{ada.id}"), 401, "unauthenticated")
    done(await api.http.get(f"/user/{ada.id}", headers=api.operator))
    refused(await api.http.put(f"/user/{ada.id}", json={"name": "Op"}, headers=api.operator), 403, "forbidden")
