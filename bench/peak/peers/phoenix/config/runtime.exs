import Config

number = fn variable, fallback -> String.to_integer(System.get_env(variable, fallback)) end

config :peak,
  limit: number.("LIMIT", "100"),
  window_ms: number.("WINDOW_MS", "60000"),
  max_restarts: number.("MAX_RESTARTS", "3")

config :peak, Peak.Endpoint,
  server: true,
  url: [host: "localhost"],
  http: [
    ip: {0, 0, 0, 0},
    port: number.("PORT", "4004"),
    thousand_island_options: [transport_options: [backlog: 4096]]
  ],
  secret_key_base: String.duplicate("a fixed key: no session is ever signed with it; ", 2)
