"""Lua scripts in sandbox processes: the LuaHost of this installation."""

from workers.lua.host import SandboxHost

__all__ = ["SandboxHost"]
