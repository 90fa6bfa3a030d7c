import { formatBytes } from "../../src/control/sizes.ts"

/** "1,234,567". */
export const formatCount = (count: number): string => Math.round(count).toLocaleString("en-US")

/** As "812 MiB/s". */
export const formatRate = (bytesPerSecond: number): string => `${formatBytes(Math.round(bytesPerSecond))}/s`

/** As "0.8 s", "42 s", "3:07", "1:02:03". */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return "-"
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (value: number) => String(value).padStart(2, "0")
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

/** A latency: "85 µs", "1.24 ms", "2.1 s". */
export function formatLatency(milliseconds: number): string {
  if (milliseconds < 1) return `${(milliseconds * 1000).toFixed(milliseconds < 0.01 ? 1 : 0)} µs`
  if (milliseconds < 1000)
    return `${milliseconds.toFixed(milliseconds < 10 ? 2 : milliseconds < 100 ? 1 : 0)} ms`
  return `${(milliseconds / 1000).toFixed(2)} s`
}
