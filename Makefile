# A doorway only: what is done stands in tools/ and meson.build.  `make help` lists the targets.
PREFIX ?= /usr/local
export PREFIX

.PHONY: all demo test bench check check-format check-tidy fuzz docs install clean help

all: ## build the release type in build/release
	@tools/bootstrap
	@tools/build release product

demo: ## build, assemble the example game, modify it, show the stages and the speed-up
	@tools/bootstrap
	@tools/demo

test: ## every test; the last line counts them
	@tools/bootstrap
	@tools/run_tests dev

bench: ## every benchmark, one JSON object each
	@tools/bootstrap
	@tools/bench

check: ## everything CI checks
	@.ci/run

check-format: ## clang-format over all C files
	@tools/bootstrap check
	@tools/check_format

check-tidy: ## clang-tidy over all C files
	@tools/bootstrap check
	@tools/check_tidy

fuzz: ## each fuzz target for a minute (FUZZ_SECONDS)
	@tools/bootstrap check
	@tools/fuzz

docs: ## API reference in build/dev/docs, and a check of every document
	@tools/bootstrap check
	@tools/build dev
	@tools/check_docs build/dev

install: ## program, library, modules, manual and completion under PREFIX (and DESTDIR)
	@tools/bootstrap
	@tools/build release product
	@meson install -C build/release --no-rebuild --quiet

clean: ## remove build/
	@rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | awk -F '\t' '{printf "  %-14s %s\n", $$1, $$2}'
