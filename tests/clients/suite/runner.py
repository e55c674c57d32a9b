"""Runs named steps, prints one line for each, and counts: ok, FAILED, SKIPPED. Nothing is skipped silently."""

import re
import time
import traceback


class Skip(Exception):
    """This step cannot run here; the text says why."""


class Failure(Exception):
    """What was checked did not hold; the text says what was seen."""


def check(condition, text):
    if not condition:
        raise Failure(text)


class Suite:
    def __init__(self, only=None, verbose=False):
        self.only = re.compile(only) if only else None
        self.verbose = verbose
        self.passed = self.failed = self.skipped = 0
        self.began = time.monotonic()

    def wants(self, name):
        return not self.only or bool(self.only.search(name))

    def step(self, name, action, *arguments):
        if not self.wants(name):
            return
        began = time.monotonic()
        try:
            note = action(*arguments)
        except Skip as reason:
            self.skipped += 1
            print(f"SKIPPED  {name}: {reason}", flush=True)
        except Exception as error:
            self.fail(name, error)
        else:
            self.passed += 1
            seconds = time.monotonic() - began
            print(f"ok       {name}{f': {note}' if note else ''} ({seconds:.1f} s)", flush=True)

    def fail(self, name, error):
        self.failed += 1
        text = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
        print(f"FAILED   {name}: {text}", flush=True)
        if self.verbose and not isinstance(error, Failure):
            traceback.print_exception(error)

    def summary(self):
        print(f"took {time.monotonic() - self.began:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0
