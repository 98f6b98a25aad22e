"""Ways to load a script in the Lua DSL."""

import pytest
from blueprint_files import AGENT

from blueprints.conf import lua_host
from blueprints.loaders.blueprint import load_blueprint
from blueprints.loaders.documents import DocumentInvalid

HEAD = 'local F, B = require "flow_dsl", require "bp_dsl"\n'


@pytest.fixture(scope="module", autouse=True)
def sandbox():
    """Ends the sandbox with the module."""
    yield
    lua_host().close()


@pytest.fixture
def run(tmp_path):
    """Loads a script; the DSL's modules are F and B, and its own text is line 2."""

    def load(text, params=None):
        path = tmp_path / "a.bp.lua"
        path.write_text(HEAD + text)
        return load_blueprint(path, params=params)

    return load


@pytest.fixture
def fault(run, tmp_path):
    """Loads a script that is refused and returns why, without the file's name."""

    def load(text, params=None):
        with pytest.raises(DocumentInvalid) as caught:
            run(text, params)
        # With a line, the name of the file stays before it.
        start, folder = f"{tmp_path / 'a.bp.lua'}: ", f"{tmp_path}/"
        text = str(caught.value)
        assert text.startswith(folder)
        return text.removeprefix(start).removeprefix(folder)

    return load


@pytest.fixture
def flow(run):
    """The flow of a pipeline and the warnings."""

    def load(text):
        loaded = run("return B.bp { flow = B.pipeline {\n" + text + "\n} }")
        return loaded.document["flow"], loaded.warnings

    return load


@pytest.fixture
def pipeline_fault(fault):
    """Why a pipeline is refused; its first member is on line 3."""
    return lambda text: fault("return B.pipeline {\n" + text + "\n}")


@pytest.fixture
def base(tmp_path):
    """A folder with a text and an agent, and a secret outside of it."""
    folder = tmp_path / "base"
    (folder / "agents").mkdir(parents=True)
    (folder / "text.txt").write_text("a text\n")
    (folder / "agents" / "critic.md").write_text(AGENT)
    (tmp_path / "secret.txt").write_text("secret")
    return folder
