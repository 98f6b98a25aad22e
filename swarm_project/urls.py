"""The URLs of the web process."""

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from blueprints.api.server import Unknown
from blueprints.login_links import log_in_once

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path(
        "login/",
        LoginView.as_view(
            template_name="admin/login.html",
            extra_context={"site_header": "Swarm", "title": "Log in"},
        ),
        name="login",
    ),
    path("login/once/<str:token>", log_in_once, name="login-once"),
    path("logout/", LogoutView.as_view(next_page="login"), name="logout"),
    path("v1", Unknown.as_view()),
    path("v1/", include("blueprints.api.urls")),
]
handler400 = "blueprints.api.pages.bad_request"
handler404 = "blueprints.api.pages.not_found"
handler500 = "blueprints.api.pages.server_error"
