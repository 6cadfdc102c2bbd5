/** Executors in the process of their storage's adapter. */
export { layer } from "./DirectTransport.ts"
