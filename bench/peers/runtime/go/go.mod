module genever.example/bench/peers/runtime

go 1.19
