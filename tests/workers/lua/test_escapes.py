"""Each escape works on a naive runtime, and is refused here."""

from collections.abc import Callable
from typing import Any

import lupa.lua54
import pytest

from engine.ports import LuaFault

Lua = Callable[..., Any]


def boom(*_: Any) -> None:
    raise LookupError("nobody")


def generator(*_: Any) -> Any:
    return (n for n in [1])


def fmt(text: Any, *_: Any) -> str:
    return str(text).format(fmt)


# What a script could do with lupa's defaults: true there, false or an error here.
ESCAPES = {
    "python.eval": "return python.eval('1 + 1') == 2",
    "python.builtins": "return python.builtins.len('ab') == 2",
    "os.execute": "return os.execute('exit 0') == true",
    "os.getenv": "return os.getenv('PATH') ~= nil",
    "io.open": "return io.open('/etc/passwd') ~= nil",
    "package.loadlib": "return type(package.loadlib) == 'function'",
    "package.searchers": "return package.searchers ~= nil",
    "require": "return type(require('os').exit) == 'function'",
    "debug.getregistry": "return type(debug.getregistry()) == 'table'",
    "debug.sethook": "debug.sethook(function() end, '', 1) return true",
    "debug.setmetatable": "return debug.setmetatable(1, {__call = print}) == 1",
    "bytecode": "return load(string.dump(function() return 7 end))() == 7",
    "string.dump": "return #string.dump(function() end) > 0",
    "the method dump": "return #(('').dump(function() end)) > 0",
    "load": "return load('return 7')() == 7",
    "loadfile": "return type(loadfile) == 'function'",
    "dofile": "return type(dofile) == 'function'",
    "collectgarbage": "return collectgarbage('count') > 0",
    "warn": "return warn('@off') == nil",
    "globals of a function": "return host.boom.__globals__ ~= nil",
    "class of an object": "return host.boom.__class__ ~= nil",
    "frame of a generator": (
        "return host.generator(1).gi_frame.f_builtins['__import__'] ~= nil"
    ),
    "python.as_attrgetter": "return python.as_attrgetter ~= nil",
    "python.iter": "return python.iter ~= nil",
    "python.enumerate": "return python.enumerate ~= nil",
    "arguments of an exception": (
        "local _, e = pcall(host.boom, 1) return type(e) == 'userdata' and e.args ~= nil"
    ),
    "metatable of strings": (
        "getmetatable('').__index = function() return 7 end return ('').any == 7"
    ),
    "setmetatable": "return setmetatable({}, {__gc = print}) ~= nil",
}


def naive(source: str) -> Any:
    """Run a script as a first attempt would: with everything lupa gives."""
    runtime = lupa.lua54.LuaRuntime()
    functions = {"boom": boom, "generator": generator, "fmt": fmt}
    runtime.globals().host = runtime.table_from(functions)
    return runtime.execute(source)


@pytest.mark.parametrize("source", ESCAPES.values(), ids=list(ESCAPES))
def test_an_escape_works_on_a_naive_runtime_and_not_here(source: str, lua: Lua) -> None:
    assert naive(source) is True
    got, kind = True, "error"
    try:
        got = lua(source, functions={"boom": boom, "generator": generator})
    except LuaFault as error:
        got, kind = False, error.kind
    assert (got, kind in ("error", "host")) == (False, True)


def test_a_text_with_braces_is_no_template(lua: Lua, fault: Any) -> None:
    template = "{0.__globals__[__name__]} %s %(name)s"
    assert __name__ in naive(f"return host.fmt('{template}')")

    assert fault(f"error('{template}', 0)").text == template
    assert fault("x = = 1", label="{0.__class__}").text.startswith("{0.__class__}:1:")

    def refuse(text: str) -> None:
        raise ValueError(text)

    message = fault(f"host.refuse('{template}')", functions={"refuse": refuse}).text
    assert message == f"host.refuse: ValueError: {template}"


def test_bytecode_is_no_source(fault: Any) -> None:
    dump = lupa.lua54.LuaRuntime(encoding=None).eval(
        b"string.dump(function() return 7 end, true)"
    )
    # A source is text, so bytecode with other bytes is not even a source.
    found = fault(dump.decode("latin-1"))
    assert found.kind == "syntax"
    assert "attempt to load a binary chunk" in found.text


NAMES = """
local seen, names, kinds = {}, {}, {}
local function walk(value, name)
  kinds[type(value)] = true
  if type(value) ~= "table" or seen[value] then
    names[#names + 1] = name
    return
  end
  seen[value] = true
  for key, part in pairs(value) do
    walk(part, (name == "" and "" or name .. ".") .. tostring(key))
  end
end
walk(_G, "")
table.sort(names)
local found = {}
for kind in pairs(kinds) do found[#found + 1] = kind end
table.sort(found)
return {names, found}
"""
LIBRARIES = {
    "coroutine": "close create isyieldable resume running status wrap yield",
    "emit": "artifact partial progress",
    "json": "array decode encode null object",
    "math": "abs acos asin atan ceil cos deg exp floor fmod huge log max maxinteger min"
    " mininteger modf pi rad random randomseed sin sqrt tan tointeger type ult",
    "string": "byte char find format gmatch gsub len lower match pack packsize rep"
    " reverse sub unpack upper",
    "table": "concat insert move pack remove sort unpack",
    "utf8": "char charpattern codepoint codes len offset",
}
PLAIN = """_G _VERSION assert error ipairs next pairs pcall print rawequal rawget rawlen
rawset require select tonumber tostring type xpcall"""


def test_a_script_reaches_these_names_and_no_other(lua: Lua) -> None:
    names, kinds = lua(NAMES)
    inner = [
        f"{library}.{name}"
        for library, found in LIBRARIES.items()
        for name in found.split()
    ]
    assert names == sorted([*PLAIN.split(), *inner])
    # The only userdata is json.null.
    assert kinds == ["function", "number", "string", "table", "userdata"]
    assert lua("return type(json.null)") == "userdata"


def test_what_a_script_changes_is_gone_in_the_next(lua: Lua) -> None:
    before = lua(NAMES)
    lua(
        "_CTX = 1 leak = {} string.upper = print table.sort = nil math.pi = 3"
        " json.null = 1 json.decode = nil pcall = nil rawset(_G, 1, 2) _G._G = nil"
        " host.x = 1 emit.progress = nil return 1"
    )
    assert lua(NAMES) == before
    assert lua("return {('a'):upper(), math.pi > 3.1, leak == nil}") == [
        "A",
        True,
        True,
    ]


def test_a_poisoned_library_does_not_reach_our_own_code(lua: Lua) -> None:
    source = """
    for _, library in pairs({string, table, utf8, math, coroutine}) do
      for name in pairs(library) do library[name] = function() return "poison" end end
    end
    for _, name in ipairs({"type", "next", "pairs", "tostring", "select", "error"}) do
      _G[name] = function() return "poison" end
    end
    return {host.echo({1.5, "ä\\n", json.array(), json.null}), _CTX}
    """
    got = lua(source, {"k": [1, {}]}, functions={"echo": lambda value: value})
    assert got == [[1.5, "ä\n", [], None], {"k": [1, {}]}]


@pytest.mark.parametrize("name", ["json.null", "host.f", "print", "_G"])
def test_values_of_ours_have_no_metatable_to_reach(name: str, lua: Lua) -> None:
    source = (
        f"return {{getmetatable == nil, pcall(function() return {name}.__index.x end)}}"
    )
    assert lua(source, functions={"f": boom})[:2] == [True, False]


def test_modules_use_metatables_of_tables_only(lua: Lua, fault: Any) -> None:
    modules = {
        "shapes": "local S = {} S.__index = S function S:area() return self.w * 2 end"
        " return {new = function(w) return setmetatable({w = w}, S) end}",
        "strings": "return getmetatable('') == nil and debug == nil and load == nil",
        "loop": "return require('loop')",
        "gc": "return setmetatable({}, {__gc = function() while true do end end})",
        "broken": "return = 1",
    }
    find = modules.__getitem__
    assert lua("return require('shapes').new(4):area()", find_module=find) == 8
    assert lua("return require('strings')", find_module=find) is True
    assert lua("return require('json') == json", find_module=find) is True
    assert lua("return require('shapes') == require('shapes')", find_module=find)
    assert "__gc is not for" in fault("require('gc')", find_module=find).text
    assert "requires itself" in fault("require('loop')", find_module=find).text
    assert fault("require('broken')", find_module=find).text.startswith("broken:1:")
    assert "'nothing'" in fault("require('nothing')", find_module=find).text
    assert "no Lua module is named 'os'" in fault("require('os')").text


def test_a_module_is_loaded_once_whatever_the_spelling_of_its_name(lua: Lua) -> None:
    calls: list[str] = []

    def find(name: str) -> str:
        calls.append(name)
        return "return {}"

    source = """
    local first = require('lib/words')
    for _, name in ipairs{'lib/words.lua', './lib/words', 'lib//words', 'lib/./words'} do
      if require(name) ~= first then return name end
    end
    return require('/lib/words') ~= first and require('lib/words.lua.lua') ~= first
    """
    assert lua(source, find_module=find) is True
    assert calls == ["lib/words", "/lib/words", "lib/words.lua.lua"]


def test_host_functions_get_and_give_json_only(lua: Lua, fault: Any) -> None:
    got: list[Any] = []

    def keep(value: Any) -> Any:
        got.append(value)
        return {"back": value}

    assert lua("return host.keep({a = {1, json.null}})", functions={"keep": keep}) == {
        "back": {"a": [1, None]}
    }
    assert lua("return host.keep()", functions={"keep": keep}) == {"back": None}
    assert got == [{"a": [1, None]}, None]
    for function, message in (
        (generator, "generator"),
        (lambda _: 2**60, "is beyond 2^53"),
        (lambda _: {"a": float("nan")}, "$.a is nan; JSON has no such number"),
    ):
        assert message in fault("host.f(1)", functions={"f": function}).text
    here = {"keep": keep}
    text = fault("host.keep(print)", functions=here).text
    assert text == "s.lua:1: host.keep: its argument: $: a function is no JSON value"
    text = fault("host.kept(1)", functions=here).text
    assert 'no host function is named "kept"; known: keep' in text


def test_an_error_of_a_host_function_is_a_table(lua: Lua, fault: Any) -> None:
    source = """
    local fine, e = pcall(host.boom, 1)
    return {fine, type(e), e.name, e.kind, e.text, tostring(e)}
    """
    assert lua(source, functions={"boom": boom}) == [
        False, "table", "boom", "LookupError", "nobody",
        "host.boom: LookupError: nobody",
    ]  # fmt: skip
    found = fault("host.boom(1)", functions={"boom": boom})
    assert (found.kind, found.place) == ("host", "LookupError")
    assert found.text == "host.boom: LookupError: nobody"


def test_a_host_function_is_called_from_a_coroutine(lua: Lua) -> None:
    source = "return coroutine.wrap(function() return host.up('a') end)()"
    assert lua(source, functions={"up": str.upper}) == "A"


def test_a_name_that_is_no_name_is_refused(lua: Lua) -> None:
    with pytest.raises(ValueError, match="'a b' can't be the name"):
        lua("return 1", functions={"a b": boom})
