"""All settings on one page; docs/settings.md tells what each is for.

Every SWARM_ name but the tables at the end can be set in the environment.
"""

from pathlib import Path

from kombu import Exchange, Queue

from engine.store.record import MOST_LOST
from swarm_project.env import (
    database,
    env_bool,
    env_int,
    env_list,
    env_seconds,
    env_text,
    redis_address,
    secret_key,
)
from swarm_project.logging import logging_config
from workers.server_files import keep_private

KIB = 1024
MIB = 1024 * KIB

BASE_DIR = Path(__file__).resolve().parent.parent
# What a checkout keeps at run time: database, embedded server, secret key, outputs.
VAR_DIR = Path(env_text("SWARM_VAR", str(BASE_DIR / "var"))).resolve()
VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
keep_private(VAR_DIR)

# Django

# On only where a person asks for it: its pages tell strangers how things are here.
DEBUG = env_bool("SWARM_DEBUG", False)
SECRET_KEY = secret_key(var_dir=VAR_DIR)
DEFAULT_EXCEPTION_REPORTER = "swarm_project.secrecy.Report"
DEFAULT_EXCEPTION_REPORTER_FILTER = "swarm_project.secrecy.ReportFilter"
ALLOWED_HOSTS = env_list("SWARM_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "blueprints",
    "workers",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "blueprints.pages.VisiblePages",
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
            ],
        },
    },
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
DATABASES = {"default": database(url=env_text("DATABASE_URL", ""), var_dir=VAR_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
# Files are served from the packages, so that nothing needs collectstatic first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
# Every route asks who is there unless it says otherwise.
REST_FRAMEWORK = {
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}
# The modules that are searched for @agent_function functions.
SWARM_AGENT_MODULES = env_list("SWARM_AGENT_MODULES", ["blueprints.samples.functions"])
LOGGING = logging_config(
    level=env_text(
        "SWARM_LOG_LEVEL", "INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"]
    ),
    agents=SWARM_AGENT_MODULES,
)

# Runs

# An engine.store.address.Address: printed, it shows no password.
SWARM_STATE_URL = redis_address(url=env_text("SWARM_REDIS_URL", ""), var_dir=VAR_DIR)
# The keeper renews once a second: a lease has to outlive a renewal that comes late.
SWARM_LEASE = env_seconds("SWARM_LEASE", 10.0, least=2.0)
# How much one delivery may do before it queues again; 0 steps: each its own delivery.
SWARM_STEP_BUDGET = env_int("SWARM_STEP_BUDGET", 100, least=0)
SWARM_STEP_BUDGET_S = env_seconds("SWARM_STEP_BUDGET_S", 2.0)
SWARM_LANE_BATCH = env_int("SWARM_LANE_BATCH", 64)
SWARM_CHORD_WINDOW = env_int("SWARM_CHORD_WINDOW", 1024)
# Worker processes that a small fanout is spread over.
SWARM_CONSUMERS = env_int("SWARM_CONSUMERS", 2)
# A chain's record can count no more.
SWARM_MAX_LOST = env_int("SWARM_MAX_LOST", 3, most=MOST_LOST)
SWARM_RUN_DEADLINE = env_seconds("SWARM_RUN_DEADLINE", 3600.0)
SWARM_ATTEMPT_TIMEOUT = env_seconds("SWARM_ATTEMPT_TIMEOUT", 600.0)
# Whether Blueprints may name a worker the old way, by profile.worker_binding.
SWARM_LEGACY_WORKER_BINDING = env_text(
    "SWARM_LEGACY_WORKER_BINDING", "allow", choices=["allow", "reject"]
)
# Sizes are bytes of JSON; the last is what a child process may print.
SWARM_CTX_LIMIT = env_int("SWARM_CTX_LIMIT", 8 * MIB)
SWARM_INPUT_LIMIT = env_int("SWARM_INPUT_LIMIT", 32 * MIB)
SWARM_CACHE_LIMIT = env_int("SWARM_CACHE_LIMIT", 16 * MIB)
SWARM_INLINE_LIMIT = env_int("SWARM_INLINE_LIMIT", 16 * KIB)
SWARM_JOURNAL_LIMIT = env_int("SWARM_JOURNAL_LIMIT", 256 * MIB)
SWARM_OUTPUT_LIMIT = env_int("SWARM_OUTPUT_LIMIT", 8 * MIB)
# Limits of one child process where its agent sets none: s, bytes, a count, bytes.
SWARM_CHILD_CPU = env_int("SWARM_CHILD_CPU", 3600)
SWARM_CHILD_MEMORY = env_int("SWARM_CHILD_MEMORY", 4096 * MIB)
SWARM_CHILD_OPEN_FILES = env_int("SWARM_CHILD_OPEN_FILES", 1024, least=16)
SWARM_CHILD_FILE_SIZE = env_int("SWARM_CHILD_FILE_SIZE", 1024 * MIB)
# The most that an agent may ask for, none below what is usual.
SWARM_CHILD_CPU_MAX = env_int("SWARM_CHILD_CPU_MAX", 86_400)
SWARM_CHILD_MEMORY_MAX = env_int("SWARM_CHILD_MEMORY_MAX", 16_384 * MIB)
SWARM_CHILD_OPEN_FILES_MAX = env_int("SWARM_CHILD_OPEN_FILES_MAX", 65_536, least=16)
SWARM_CHILD_FILE_SIZE_MAX = env_int("SWARM_CHILD_FILE_SIZE_MAX", 16_384 * MIB)
SWARM_OUTPUT_LIMIT_MAX = env_int("SWARM_OUTPUT_LIMIT_MAX", 64 * MIB)
# The variables of the worker that its child processes get; no secret is among them.
SWARM_CHILD_ENV = env_list(
    "SWARM_CHILD_ENV", ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"]
)
# What one attempt may emit: output events, and bytes of them in the journal.
SWARM_EVENT_LIMIT = env_int("SWARM_EVENT_LIMIT", 10_000)
SWARM_EVENT_BYTES_LIMIT = env_int("SWARM_EVENT_BYTES_LIMIT", 1 * MIB)
# A Lua script's own bounds; an agent's spec may ask for less, or more up to the most.
SWARM_LUA_TIME = env_seconds("SWARM_LUA_TIME", 60.0)
SWARM_LUA_TIME_MAX = env_seconds("SWARM_LUA_TIME_MAX", 3600.0)
SWARM_LUA_MEMORY = env_int("SWARM_LUA_MEMORY", 32 * MIB, least=MIB)
SWARM_LUA_MEMORY_MAX = env_int("SWARM_LUA_MEMORY_MAX", 256 * MIB, least=MIB)
SWARM_ARCHIVE = env_text("SWARM_ARCHIVE", "async", choices=["async"])
# Folders searched for files that Blueprints name; a relative one is below the checkout.
SWARM_BLUEPRINT_INCLUDES = [
    str(BASE_DIR / folder) for folder in env_list("SWARM_BLUEPRINT_INCLUDES", [])
]
# The folders of registered Lua scripts; a relative one is below the checkout.
SWARM_LUA_DIRS = [
    str(BASE_DIR / folder)
    for folder in env_list("SWARM_LUA_DIRS", ["blueprints/samples"])
]

# Celery: a message is a hint, never the truth. docs/settings.md gives the reasons.

# workers.transport:Transport, by the name swarm_project/celery.py gives it. It takes
# its place and its passwords from SWARM_STATE_URL, so that none is in Celery's hands.
CELERY_BROKER_TRANSPORT = "swarm"
CELERY_BROKER_URL = "swarm://"
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Redelivery is a janitor; the steward recovers lost steps long before.
    "visibility_timeout": 3600,
    "unacked_restore_limit": 50,
    "unacked_mutex_expire": 30,
    "global_keyprefix": "swarm:q:",
    "priority_steps": [0],
    # A frozen Redis would block a publisher for ever.
    "socket_timeout": 15,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
    "health_check_interval": 10,
    "retry_on_timeout": True,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_ACKS_ON_FAILURE = True
CELERY_TASK_ACKS_ON_TIMEOUT = True
# The first loops for ever on a step that kills its worker, the second sends messages
# with an ETA.
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_RETRY_ON_WORKER_LOST = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_REPR_MAXLEVELS = 2
CELERY_TASK_SEND_SENT_EVENT = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = True
CELERY_WORKER_SEND_TASK_EVENTS = False
# A new child costs 0.4 s in which its share of the queue waits (measured).
CELERY_WORKER_MAX_TASKS_PER_CHILD = 10_000
CELERY_WORKER_MAX_MEMORY_PER_CHILD = 400_000  # KiB
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 0
CELERY_WORKER_ETA_TASK_LIMIT = 100
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_IMPORTS = ["workers.tasks"]
# Queues hang on the default exchange, whose name is empty: it needs no bindings, so
# none can be lost with Redis.
CELERY_TASK_DEFAULT_QUEUE = "swarm.engine"
CELERY_TASK_DEFAULT_EXCHANGE = ""
CELERY_TASK_DEFAULT_ROUTING_KEY = "swarm.engine"
CELERY_TASK_CREATE_MISSING_QUEUES = True
CELERY_TASK_QUEUES = [
    Queue(name, Exchange(""), routing_key=name)
    for name in (
        "swarm.engine",
        "swarm.lua",
        "swarm.python_fn",
        "swarm.subprocess",
        "swarm.operator",
        "swarm.agent_block",
    )
]

# The wiring: what lower floors get from higher ones, by dotted path. It is read only
# by blueprints/conf.py and proven by `manage.py check`.

SWARM = {
    "SPAWNERS": {
        "lua": "workers.spawners.lua.LuaSpawner",
        "python_fn": "workers.spawners.python_fn.PythonFunctionSpawner",
        "subprocess": "workers.spawners.subprocess.SubprocessSpawner",
    },
    "LUA_HOST": "workers.lua.SandboxHost",
    # What Lua scripts call as host.NAME(value): fn(value, *, step) -> JSON.
    "LUA_FUNCTIONS": {},
}
