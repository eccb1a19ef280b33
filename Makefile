# The two commands of a newcomer, `make demo` and `make test`, install by themselves what the machine lacks.

MAKEFLAGS += --no-print-directory
# npm's `node` package: Node 24 whatever the machine's own is.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
# biome and buf keep what they have found out; not in the user's home.
export XDG_CACHE_HOME := $(CURDIR)/.tollgate/cache

.PHONY: demo test up check bootstrap

demo: bootstrap ## one call, end to end, checked
	@node loadtest/demo/main.ts

up: bootstrap ## region eu on this machine, until Ctrl-C
	@node cli/main.ts up

test: bootstrap ## lint, types, every test; the last line is "N passed, N failed"
	@biome check .
	@tsc --noEmit
	@node scripts/run-tests.ts all

check: bootstrap ## before a commit: lint, types, the tests that need no engine
	@npm run --silent check

bootstrap:
	@sh scripts/bootstrap.sh
