"""Runs named steps, prints one line for each, and counts: ok, FAILED, SKIPPED. Nothing is skipped silently."""

import re
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor


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
        self.telling = threading.Lock()
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
            with self.telling:
                self.skipped += 1
                print(f"SKIPPED  {name}: {reason}", flush=True)
        except Exception as error:
            self.fail(name, error)
        else:
            seconds = time.monotonic() - began
            with self.telling:
                self.passed += 1
                print(f"ok       {name}{f': {note}' if note else ''} ({seconds:.1f} s)", flush=True)

    def steps_at_once(self, count, every):
        """Runs steps, each with its name, action and arguments, `count` of them at a time: they must not disturb each other."""
        pool = ThreadPoolExecutor(count)
        try:
            for running in [pool.submit(self.step, *step) for step in every]:
                running.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def fail(self, name, error):
        text = str(error) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
        with self.telling:
            self.failed += 1
            print(f"FAILED   {name}: {text}", flush=True)
            if self.verbose and not isinstance(error, Failure):
                traceback.print_exception(error)

    def summary(self):
        print(f"took {time.monotonic() - self.began:.0f} s")
        print(f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped", flush=True)
        return 1 if self.failed else 0
