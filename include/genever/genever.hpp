// Everything that a service needs, in one include.
#pragma once

#include <genever/base/defer.hpp>
#include <genever/base/log.hpp>
#include <genever/csp/chan.hpp>
#include <genever/csp/go.hpp>
#include <genever/csp/wait_group.hpp>
#include <genever/http/server.hpp>
#include <genever/otp/gen_server.hpp>
#include <genever/otp/run.hpp>
#include <genever/otp/server_ref.hpp>
#include <genever/otp/supervisor.hpp>
#include <genever/runtime/blocking.hpp>
#include <genever/runtime/process.hpp>
#include <genever/runtime/receive.hpp>
#include <genever/runtime/runtime.hpp>
#include <genever/runtime/simulation.hpp>
#include <genever/runtime/time.hpp>
#include <genever/runtime/timeout.hpp>
#include <genever/web/context.hpp>
#include <genever/web/middleware.hpp>
#include <genever/web/router.hpp>
