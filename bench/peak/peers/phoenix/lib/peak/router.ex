defmodule Peak.Router do
  use Phoenix.Router

  pipeline :api do
    plug :accepts, ["json"]
  end

  scope "/", Peak do
    pipe_through :api

    get "/ping", Controller, :ping
    get "/health", Controller, :health
    get "/plaintext", Controller, :plaintext
    get "/users/:id/posts/:pid", Controller, :user_post
    post "/orders", Controller, :take_order
    get "/work", Controller, :work
    get "/wait", Controller, :wait
    get "/pool", Controller, :pool
    get "/hog", Controller, :hog
    get "/panic", Controller, :panic
    get "/limited", Controller, :limited
    post "/limited/kill", Controller, :kill_limiter
  end
end
