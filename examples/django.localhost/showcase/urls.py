"""The guestbook on the front page, the admin beside it."""

from django.contrib import admin
from django.urls import path
from guestbook.views import page

urlpatterns = [path("", page), path("admin/", admin.site.urls)]
