# make demo   sets everything up and lists the processes of a sample memory image
# make test   sets everything up and runs the tests
#
# Everything lands in .venv; to use another Python: make PYTHON=python3.13 ...

PYTHON ?= python3
SAMPLE ?= samples/guest.core

VENV := .venv
# Older and newer pips read the constraints of a build from different variables.
PIP_INSTALL := PIP_CONSTRAINT=requirements-build.txt PIP_BUILD_CONSTRAINT=requirements-build.txt \
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --use-deprecated=legacy-resolver
SOURCES := setup.py pyproject.toml $(shell find rekall_layout_expert -name '*.py' -o -name '*.json' -o -name '*.[ch]' -o -name '*.txt')

.PHONY: demo test test-matrix test-exactness test-plugins bench clean

# A home of its own: Rekall keeps profiles and sessions in $HOME, and the demo is to build its profile every time.
demo: $(VENV)/installed
	@rm -rf .demo && mkdir .demo
	HOME='$(CURDIR)/.demo' $(VENV)/bin/rekall -f $(SAMPLE) pslist

test: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest -m "not slow"

test-matrix: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest -m "slow and ci"

# Hours: every kernel, architecture and kind of configuration, and then the tables of docs/exactness.md.
test-exactness: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest -m slow tests/test_custom_configs_against_gcc.py; \
	$(VENV)/bin/python tests/exactness.py

# Rekall's plugins on running kernels and on dumps of them, and then the table of docs/plugins.md.
test-plugins: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pytest -m slow tests/guest/test_linux_plugins_in_guest.py; \
	$(VENV)/bin/python tests/plugin_table.py

bench: $(VENV)/installed-for-tests
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-bench.txt || true
	$(VENV)/bin/python -m benchmarks

clean:
	rm -rf $(VENV) .demo .hypothesis .pytest_cache build *.egg-info

# Without ensurepip (Debian's python3 without python3-venv) the pip of $(PYTHON) fills the environment.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { \
	    $(PYTHON) -m venv --without-pip --clear $(VENV) && \
	    $(PYTHON) -m pip --python $(VENV)/bin/python install --quiet pip; }

$(VENV)/requirements: requirements.txt | $(VENV)/bin/python
	$(PIP_INSTALL) -r requirements.txt
	@touch $@

# pip builds in ./build and would install what an earlier build left there.
$(VENV)/installed: $(VENV)/requirements $(SOURCES)
	@rm -rf build
	$(PIP_INSTALL) --force-reinstall .
	@touch $@

$(VENV)/installed-for-tests: requirements-test.txt $(VENV)/installed
	$(PIP_INSTALL) -r requirements-test.txt
	@touch $@
