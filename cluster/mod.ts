/** A server: schedulers on Effect Cluster, executors over RPC, and REST for the rest. */
export * as ApiClient from "./api/ApiClient.ts"
export { Api } from "./api/Api.ts"
export * as Problems from "./api/Problems.ts"
export * as Views from "./api/Views.ts"
export { Schedulers } from "./Schedulers.ts"
export { PortTaken, Server, type ServerOptions } from "./Server.ts"
