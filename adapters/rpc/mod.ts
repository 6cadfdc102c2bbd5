/** Executors that reach their server over WebSocket: both ends. */
export { frameBytesMax } from "./ExecutorRpcs.ts"
export * as RpcTransport from "./RpcTransport.ts"
export * as RpcTransportServer from "./RpcTransportServer.ts"
