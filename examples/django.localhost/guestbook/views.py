"""The front page: the newest entries, and a form for one more."""

import os
from datetime import UTC, datetime
from itertools import count

from django.forms import ModelForm
from django.shortcuts import redirect, render

from guestbook.models import Entry

SINCE = f"{datetime.now(UTC):%H:%M:%S} UTC"
numbers = count(1)


class EntryForm(ModelForm):
    class Meta:
        model = Entry
        fields = ("name", "text")


def page(request):
    form = EntryForm(request.POST or None)
    if form.is_valid():
        form.save()
        return redirect("/")
    context = {
        "form": form,
        "entries": Entry.objects.all()[:10],
        "server": request.META["SERVER_SOFTWARE"],
        "pid": os.getpid(),
        "parent": os.getppid(),
        "since": SINCE,
        "number": next(numbers),
    }
    return render(request, "guestbook/page.html", context)
