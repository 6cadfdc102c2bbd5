/** Threads and processes of their own for handlers that may block or crash. */
export * from "./Isolated.ts"
