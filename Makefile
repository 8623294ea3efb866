# The commands of this project. Each is a readable script in scripts/.
.PHONY: demo demo-full install check test test-compose bench build

demo:    ; @scripts/demo.sh
demo-full: ; @scripts/demo.sh full
install: ; @scripts/install.sh
check:   ; @scripts/check.sh
test:    ; @scripts/test.sh
test-compose: ; @scripts/test-compose.sh
bench:   ; @scripts/bench.sh
build:   ; @scripts/build.sh
