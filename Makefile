# The commands of this project. Each is a readable script in scripts/.
.PHONY: demo install check test bench build

demo:    ; @scripts/demo.sh
install: ; @scripts/install.sh
check:   ; @scripts/check.sh
test:    ; @scripts/test.sh
bench:   ; @scripts/bench.sh
build:   ; @scripts/build.sh
