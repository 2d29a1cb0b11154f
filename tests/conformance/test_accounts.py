"""Accounts of guests and logins of vendors."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.command import Role
from domain.event import VendorCreated
from domain.ids import UserId
from domain.user import Credentials, User
from storage.accounts import Accounts
from storage.directory import Directory
from storage.errors import EmailTaken, VersionConflict
from storage.postgres_shard_store import PostgresShardStore
from tests.conformance.stores import ACTOR, house
from tests.fakes.houses import vendor_id

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANNA = User(UserId(UUID(int=77)), 1, "anna@example.org", "Anna", NOW, NOW, phone="+49123", locale="de")


@pytest.fixture
async def accounts(open_database):
    made = Accounts(open_database)
    await made.create_user(ANNA, "hash-1")
    return made


async def test_a_guest_comes_back_without_the_password(accounts):
    assert await accounts.user_by_id(ANNA.user_id) == ANNA
    assert type((await accounts.user_by_id(ANNA.user_id)).user_id) is UUID
    assert await accounts.user_by_id(UserId(UUID(int=78))) is None


async def test_a_login_is_found_by_address(accounts):
    expected = Credentials(ANNA.user_id, "hash-1")
    assert await accounts.user_login_by_email("anna@example.org") == expected
    assert await accounts.user_credentials(ANNA.user_id) == expected
    assert await accounts.user_login_by_email("nobody@example.org") is None
    assert await accounts.vendor_login_by_email("anna@example.org") is None


async def test_an_address_has_one_account(accounts):
    with pytest.raises(EmailTaken):
        await accounts.create_user(replace(ANNA, user_id=UserId(UUID(int=5))), "hash-2")
    assert await accounts.user_by_id(UserId(UUID(int=5))) is None


async def test_an_update_follows_the_version_it_saw(accounts):
    later = replace(ANNA, version=2, name="Anne", phone=None, updated_at=NOW + timedelta(days=1))
    await accounts.update_user(later, expected_version=1)
    assert await accounts.user_by_id(ANNA.user_id) == later
    assert (await accounts.user_credentials(ANNA.user_id)).password_hash == "hash-1"
    with pytest.raises(VersionConflict):
        await accounts.update_user(later, expected_version=1)
    with pytest.raises(VersionConflict):
        await accounts.update_user(replace(later, user_id=UserId(UUID(int=5))), expected_version=1)


async def test_a_new_password_ends_older_tokens(accounts):
    assert await accounts.tokens_valid_from(Role.USER, ANNA.user_id) <= NOW
    await accounts.update_user(
        replace(ANNA, version=2), expected_version=1, password_hash="hash-2", tokens_valid_from=NOW
    )
    assert await accounts.tokens_valid_from(Role.USER, ANNA.user_id) == NOW
    assert (await accounts.user_credentials(ANNA.user_id)).password_hash == "hash-2"
    assert await accounts.tokens_valid_from(Role.USER, UUID(int=5)) is None


async def test_a_newer_hash_of_the_same_password_changes_nothing_else(accounts):
    checked = await accounts.user_credentials(ANNA.user_id)
    await accounts.rehash(Role.USER, checked, "hash-3")
    assert await accounts.user_by_id(ANNA.user_id) == ANNA
    assert (await accounts.user_credentials(ANNA.user_id)).password_hash == "hash-3"
    await accounts.rehash(Role.USER, checked, "of a password that was replaced")
    assert (await accounts.user_credentials(ANNA.user_id)).password_hash == "hash-3"


async def test_a_vendor_logs_in_with_what_its_shard_wrote(accounts, open_database, database):
    directory = Directory(open_database)
    await directory.seed(1)
    await directory.claim(0, ACTOR.actor_id)
    store = PostgresShardStore(database)
    lease = await store.take(0, ACTOR)
    of = vendor_id(1)
    await store.commit_vendor(lease, 1, VendorCreated(house(of), "house@example.org", "hash-v"))
    await store.close()
    assert await accounts.vendor_login_by_email("house@example.org") == Credentials(of, "hash-v")
    assert await accounts.vendor_email(of) == "house@example.org"
    assert await accounts.tokens_valid_from(Role.VENDOR, of) is not None
    checked = await accounts.vendor_login_by_email("house@example.org")
    await accounts.rehash(Role.VENDOR, checked, "hash-w")
    await accounts.rehash(Role.VENDOR, checked, "of a password that was replaced")
    assert (await accounts.vendor_login_by_email("house@example.org")).password_hash == "hash-w"
