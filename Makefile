# The containers of docker-compose.yml, and the checks. `make` alone shows what there is.
.DEFAULT_GOAL := help
.PHONY: build start ingest test fast influxdb-test package down help

COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
ENGINE := @docker info >/dev/null 2>&1 || { echo 'No Docker engine answers (docker info says more). Start it, or run ./start.sh, which needs none.' >&2; exit 69; }

build: ## build the image of the containers
	$(ENGINE)
	$(COMPOSE) build log_processor api log_generator

start: ## start the containers and wait until they answer; PORT=8001, PROFILES="postgres mysql"
	./start.sh --docker $(if $(PORT),--port $(PORT)) $(foreach name,$(PROFILES),--profile $(name))

ingest: FILE ?= tests/data/requests-10k.log
ingest: ## read a log to its end into the InfluxDB of the running containers; FILE=tests/data/requests-10k.log
	@test -f "$(FILE)" || { echo 'Found no file "$(FILE)", expected: make ingest FILE=requests.log'; exit 2; }
	$(ENGINE)
	@echo 'Reading $(FILE) into the InfluxDB of the containers, which http://127.0.0.1:$(or $(API_PORT),8000)/ shows; no other store gets it.'
	$(COMPOSE) run --rm --no-deps -e NODE_ID=make_ingest -v "$(abspath $(FILE)):/input/$(notdir $(FILE)):ro" \
		log_processor load "/input/$(notdir $(FILE))"

test: ## run all checks and tests
	./run_tests.sh

fast: ## run all checks, and the tests that need no server, browser or container
	./run_tests.sh --fast

influxdb-test: ## test with a real InfluxDB; INFLUXD=influxd, or INFLUXDB_TEST_URL, _TOKEN and _ORG of one that runs
	@bash -c '. scripts/environment.sh; prepare_environment test'
	@.venv/bin/python -m tools.influxdb_test $(addprefix --only ,$(PARTS))

package: ## build the wheel and the source archive into dist/, and try them in an environment of their own
	scripts/package.sh

down: ## stop and remove the containers; what they stored is kept
	$(ENGINE)
	COMPOSE_PROFILES=postgres,mysql,rabbitmq,grafana,cluster $(COMPOSE) down

help: ## show these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf '%-13s %s\n' "$$name" "$$text"; done
