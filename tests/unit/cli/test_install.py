from cli.install import admin_key, install
from cli.layout import Layout
from services.gateway.adapters.keys import list_keys, read_pepper
from services.gateway.domain.auth import hash_key


def test_the_first_run_makes_secrets_for_their_owner_alone(tmp_path):
    layout = Layout(tmp_path / "state")
    key = install(layout)
    assert key.startswith("sk-hr-")
    assert admin_key(layout) == key
    for path in (layout.admin_key_file, layout.pepper_file, layout.token_file, layout.keys_file):
        assert path.stat().st_mode & 0o777 == 0o600
    made = list_keys(layout.keys_file)[0]
    assert (made.tenant, made.role) == ("default", "admin")
    assert made.hmac_hex == hash_key(read_pepper(layout.pepper_file), key)


def test_later_runs_change_nothing(tmp_path):
    layout = Layout(tmp_path)
    key, token = install(layout), layout.token_file.read_text()
    assert install(layout) == ""
    assert (admin_key(layout), layout.token_file.read_text()) == (key, token)


def test_a_lost_keys_file_gets_a_new_admin_key(tmp_path):
    layout = Layout(tmp_path)
    first = install(layout)
    layout.keys_file.unlink()
    assert install(layout) not in ("", first)
