"""All settings: variables of the environment first, the wiring last.

docs/settings.md describes each setting of the first table.
"""

import os

from kombu import Exchange, Queue

from engine.store.record import MOST_LOST
from swarm_project.env import (
    Setting,
    database,
    redis_server_url,
    secret_key,
    var_folder,
)
from swarm_project.log_config import logging_config
from swarm_project.project import CODE, project_folder

MIB = 1024 * 1024

# By the headings of docs/settings.md. `manage.py check` applies the same bounds to a
# settings module that changes a value.
SWARM_SETTINGS = {
    "Where things are": (
        Setting("SWARM_REDIS_URL", "", "URL", "Redis or Valkey 7 and newer for state and queues"),
        Setting("DATABASE_URL", "", "URL", "Where history goes, in dj-database-url's form"),
        Setting("SWARM_VAR", "", "path", "What an installation keeps at run time: database, embedded server, secret key, logs, locks"),
        Setting("SWARM_AGENT_MODULES", ["blueprints.samples.functions"], "list", "The modules that are searched for `@agent_function` functions"),
        Setting("SWARM_FN_MODULES", "project", "", "Which modules the `fn` of an agent may name", choices=("project", "listed")),
        Setting("SWARM_FN_DIRS", [], "list", "Folders, besides the project's, whose modules the `fn` of an agent may name; a relative one is below the project's folder"),
        Setting("SWARM_LUA_DIRS", ["blueprints/samples"], "list", "The folders of registered Lua scripts; a relative one is below the project's folder"),
        Setting("SWARM_BLUEPRINTS", "", "path", "The git repository in which Blueprints are kept"),
        Setting("SWARM_OUTPUTS", "files", "files, database, an absolute path or s3://BUCKET/PREFIX", "Where values are kept that are too large for the Ctx", choices=("files", "database"), pattern=r"/.*|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\0]*)?", example="/mnt/swarm/outputs"),
        Setting("SWARM_BLUEPRINT_INCLUDES", [], "list", "Folders searched for the [files that Blueprints name]"),
    ),
    "Django": (
        Setting("SWARM_DEBUG", False, "yes/no", "Django's DEBUG: error pages show settings to every visitor"),
        Setting("SWARM_SECRET_KEY", "", "text", "Django's SECRET_KEY"),
        Setting("SWARM_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"], "list", "Django's ALLOWED_HOSTS: the host names that web processes answer to"),
        Setting("SWARM_LOG_LEVEL", "INFO", "", "What our loggers write", choices=("DEBUG", "INFO", "WARNING", "ERROR")),
    ),
    "Web": (
        Setting("SWARM_BIND", "127.0.0.1:7777", "HOST:PORT", "The address at which `up` and `web` serve pages and API", pattern=r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/\s]+):\d{1,5}"),
        Setting("SWARM_HTTPS", False, "yes/no", "Whether browsers reach this installation by HTTPS, through a proxy that ends TLS"),
        Setting("SWARM_TRUST_LOOPBACK", True, "yes/no", "Whether programs on this machine may use the API without a key, under DEBUG only"),
    ),
    "How runs move": (
        # The keeper renews once a second: a lease has to outlive a renewal that comes late.
        Setting("SWARM_LEASE", 10.0, "s", "How long a lease lasts without renewal", least=2),
        Setting("SWARM_STEP_BUDGET", 100, "attempts", "Attempts one delivery may make before its chain queues again", least=0),
        Setting("SWARM_STEP_BUDGET_S", 2.0, "s", "The same budget in time"),
        Setting("SWARM_LANE_BATCH", 64, "lanes", "Lanes of a fanout that one message carries at most"),
        Setting("SWARM_CHORD_WINDOW", 1024, "lanes", "Lanes of one fanout that are dispatched and not settled"),
        Setting("SWARM_CONSUMERS", 2, "processes", "Over how many worker processes a small fanout is spread"),
        # A chain's record can count no more.
        Setting("SWARM_MAX_LOST", 3, "attempts", "How many attempts of one step may be lost to dead workers before the step ends `lost`", most=MOST_LOST),
        Setting("SWARM_RUN_DEADLINE", 3600.0, "s", "How long a run may take where neither `--timeout` nor its Blueprint's `default_run_ttl_secs` says so"),
        Setting("SWARM_ATTEMPT_TIMEOUT", 600.0, "s", "How long an attempt may take where its agent has no `timeout`"),
        Setting("SWARM_LEGACY_WORKER_BINDING", "allow", "", "Whether `profile.worker_binding` may name a runner", choices=("allow", "reject")),
    ),
    "Sizes": (
        Setting("SWARM_INLINE_LIMIT", 16 * 1024, "bytes of JSON", "How large a value of the Ctx may be that is not kept in the output store", least=0),
        Setting("SWARM_CTX_LIMIT", 8 * MIB, "bytes of JSON", "How much may be stored of one chain's Ctx, and of one agent's result"),
        Setting("SWARM_INPUT_LIMIT", 32 * MIB, "bytes of JSON", "How much may be expanded for an agent's input, a fanout's items or a run's result"),
        Setting("SWARM_CACHE_LIMIT", 16 * MIB, "bytes of JSON", "How much of programs, bases and fanouts' Ctx each worker process, and the steward, keeps parsed"),
        Setting("SWARM_OUTPUT_LIMIT", 8 * MIB, "bytes", "What a child process may print, a stream as a whole, and what a Lua script may give"),
        Setting("SWARM_EVENT_LIMIT", 10_000, "events", "How many output events (progress, log lines, partials, artifacts) one attempt may emit"),
        Setting("SWARM_EVENT_BYTES_LIMIT", MIB, "bytes of JSON", "The same limit in bytes"),
        Setting("SWARM_LUA_TIME", 60.0, "s", "How long a Lua script may take where its agent has no `limits.time_s`"),
        Setting("SWARM_LUA_TIME_MAX", 3600.0, "s", "The most that an agent's `limits.time_s` may ask for"),
        Setting("SWARM_LUA_MEMORY", 32 * MIB, "bytes", "What a Lua script may use where its agent has no `limits.memory_bytes`", least=MIB),
        Setting("SWARM_LUA_MEMORY_MAX", 256 * MIB, "bytes", "The most that an agent may ask for", least=MIB),
        Setting("SWARM_JOURNAL_LIMIT", 256 * MIB, "bytes of memory", "How much of the journal in Redis may wait for the archive"),
    ),
    "History": (
        Setting("SWARM_ARCHIVE", "async", "", "Whether a commit is archived before anything follows from it", choices=("async", "sync")),
        Setting("SWARM_RETENTION", 90, "days", "How long an ended run is kept before `manage.py runs prune` deletes it", most=36_500),
        Setting("SWARM_PRUNE", False, "yes/no", "Whether the steward deletes such runs by itself"),
    ),
    "Child processes": (
        Setting("SWARM_CHILD_CPU", 3600, "s", "CPU time of a process (`RLIMIT_CPU`)"),
        Setting("SWARM_CHILD_MEMORY", 4096 * MIB, "bytes", "Memory that a process has for itself (`RLIMIT_DATA`, Linux)"),
        Setting("SWARM_CHILD_OPEN_FILES", 1024, "files", "Files a process has open (`RLIMIT_NOFILE`)", least=16),
        Setting("SWARM_CHILD_FILE_SIZE", 1024 * MIB, "bytes", "The largest file a process may write (`RLIMIT_FSIZE`)"),
        Setting("SWARM_CHILD_CPU_MAX", 86_400, "s", "The most that an agent's `limits.cpu_s` may ask for"),
        Setting("SWARM_CHILD_MEMORY_MAX", 16_384 * MIB, "bytes", "The most for `limits.memory_bytes`"),
        Setting("SWARM_CHILD_OPEN_FILES_MAX", 65_536, "files", "The most for `limits.open_files`", least=16),
        Setting("SWARM_CHILD_FILE_SIZE_MAX", 16_384 * MIB, "bytes", "The most for `limits.file_bytes`"),
        Setting("SWARM_OUTPUT_LIMIT_MAX", 64 * MIB, "bytes", "The most for `limits.output_bytes` of a child process"),
        Setting("SWARM_CHILD_ENV", ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"], "list", "The variables of the worker that child processes get"),
    ),
}  # fmt: skip
_env = {
    setting.name: setting.read()
    for group in SWARM_SETTINGS.values()
    for setting in group
}
# These are settings with the names of their variables; the others are used below.
globals().update(
    {
        setting.name: _env[setting.name]
        for heading in ("Web", "How runs move", "Sizes", "History", "Child processes")
        for setting in SWARM_SETTINGS[heading]
    }
)

# Where the settings module, `agents` and relative paths of settings are: the project.
SWARM_PROJECT_DIR = project_folder()
# The files of an installation: database, embedded server, secret key, outputs.
VAR_DIR = var_folder(_env["SWARM_VAR"] or SWARM_PROJECT_DIR / "var")
SWARM_BLUEPRINTS = str(
    SWARM_PROJECT_DIR / (_env["SWARM_BLUEPRINTS"] or VAR_DIR / "blueprints.git")
)

# Django

# Off by default: its error pages show settings to every visitor.
DEBUG = _env["SWARM_DEBUG"]
SECRET_KEY = secret_key(_env["SWARM_SECRET_KEY"], var_dir=VAR_DIR)
DEFAULT_EXCEPTION_REPORTER = "blueprints.secrecy.Report"
DEFAULT_EXCEPTION_REPORTER_FILTER = "blueprints.secrecy.ReportFilter"
ALLOWED_HOSTS = _env["SWARM_ALLOWED_HOSTS"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "blueprints",
    "workers",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "blueprints.api.hosts.HostCheck",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "blueprints.pages.visible_pages",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "swarm_project.urls"
WSGI_APPLICATION = "swarm_project.wsgi.application"
ASGI_APPLICATION = "swarm_project.asgi.application"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
DATABASES = {"default": database(url=_env["DATABASE_URL"], var_dir=VAR_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# Files are served from the packages, so that nothing needs collectstatic first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "docs"

# HTTPS ends at a proxy, which tells us of it. The health check comes without it.
_https = _env["SWARM_HTTPS"]
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _https else None
SECURE_REDIRECT_EXEMPT = [r"^v1/healthz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _https else 0
# Whether other names of the domain have HTTPS is not ours to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# The HTTP API

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "blueprints.api.authentication.KeyAuthentication",
        "blueprints.api.authentication.BrowserAuthentication",
        "blueprints.api.authentication.LoopbackAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["blueprints.api.authentication.HasRight"],
    "DEFAULT_PARSER_CLASSES": ["blueprints.api.bodies.StrictJsonParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "blueprints.api.openapi.Schema",
    "EXCEPTION_HANDLER": "blueprints.api.problems.handle",
    "DEFAULT_METADATA_CLASS": None,
    # `?format=` is an unknown parameter, as on every route.
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Swarm",
    "DESCRIPTION": "Blueprints and their versions.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"],
    # Programs that need no credentials are nothing to describe.
    "AUTHENTICATION_WHITELIST": REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"][:2],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/v1",
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
}

SWARM_OUTPUTS = _env["SWARM_OUTPUTS"]
SWARM_AGENT_MODULES = _env["SWARM_AGENT_MODULES"]
SWARM_FN_MODULES = _env["SWARM_FN_MODULES"]
LOGGING = logging_config(level=_env["SWARM_LOG_LEVEL"], agents=SWARM_AGENT_MODULES)
# An engine.store.server_url.ServerUrl, whose text contains no password.
SWARM_STATE_URL = redis_server_url(url=_env["SWARM_REDIS_URL"], var_dir=VAR_DIR)
# The default of SWARM_LUA_DIRS is a folder of our packages.
SWARM_BLUEPRINT_INCLUDES, SWARM_FN_DIRS, SWARM_LUA_DIRS = (
    [
        str((SWARM_PROJECT_DIR if os.environ.get(name, "").strip() else CODE) / folder)
        for folder in _env[name]
    ]
    for name in ("SWARM_BLUEPRINT_INCLUDES", "SWARM_FN_DIRS", "SWARM_LUA_DIRS")
)

# Celery: a message is a hint, never the truth. docs/settings.md gives the reasons.

# The name of workers.broker.transport:Transport in swarm_project/celery.py. It reads
# URL and passwords from SWARM_STATE_URL, so that Celery has none.
CELERY_BROKER_TRANSPORT = "swarm"
CELERY_BROKER_URL = "swarm://"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # The steward recovers lost steps long before kombu redelivers a message.
    "visibility_timeout": 3600,
    "unacked_restore_limit": 50,
    "unacked_mutex_expire": 30,
    "global_keyprefix": "swarm:q:",
    "priority_steps": [0],
    # Without a timeout, a hung Redis would block a publisher for ever.
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_ACKS_ON_FAILURE = True
CELERY_TASK_ACKS_ON_TIMEOUT = True
# The first would redeliver a step that kills its worker for ever, the second sends
# messages with an ETA.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_RETRY_ON_WORKER_LOST = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_REPR_MAXLEVELS = 2
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
# Starting a new child takes 0.4 s, in which its share of the queue waits.
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000  # KiB
CELERY_WORKER_ETA_TASK_LIMIT = 100
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_IMPORTS = ["workers.tasks"]
CELERY_TASK_DEFAULT_QUEUE = "swarm.engine"
CELERY_TASK_DEFAULT_EXCHANGE = ""
CELERY_TASK_DEFAULT_ROUTING_KEY = "swarm.engine"

# The wiring: classes of higher floors for lower ones, by dotted path. Only
# blueprints/conf.py reads it; `manage.py check` imports every path.

SWARM = {
    "SPAWNERS": {
        "lua": "workers.spawners.lua.LuaSpawner",
        "python_fn": "workers.spawners.python_fn.PythonFunctionSpawner",
        "subprocess": "workers.spawners.subprocess.SubprocessSpawner",
    },
    "LUA_HOST": "workers.lua.SandboxHost",
    "BLUEPRINT_STORE": "blueprints.stores.git.store.installed_store",
    # Of these SWARM_OUTPUTS chooses one, and the others are not imported.
    "OUTPUT_STORES": {
        "files": "blueprints.stores.outputs.files.installed_store",
        "database": "blueprints.stores.outputs.database.DatabaseOutputs",
        "s3": "blueprints.stores.outputs.s3.installed_store",
    },
    # The functions that Lua scripts call as host.NAME(value): fn(value, *, step) -> JSON.
    "LUA_FUNCTIONS": {},
}

# All queues use the default exchange, whose name is empty: it has no bindings that could
# be lost with Redis.
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(""), routing_key=name)
    for name in (
        CELERY_TASK_DEFAULT_QUEUE,
        *(f"swarm.{kind}" for kind in SWARM["SPAWNERS"]),
    )
]
