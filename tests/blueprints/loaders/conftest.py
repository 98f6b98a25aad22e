"""Ways to load a script in the Lua DSL."""

import pytest

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
        start = f"{tmp_path / 'a.bp.lua'}: "
        assert str(caught.value).startswith(start)
        return str(caught.value).removeprefix(start)

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
