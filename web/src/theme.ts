// Dark or light: the system's choice until somebody chooses.
import { useEffect, useState } from "preact/hooks";

const KEY = "brisk.theme";
const media = window.matchMedia("(prefers-color-scheme: dark)");
const readers = new Set<() => void>();

function chosen(): string {
  try {
    return localStorage.getItem(KEY) ?? "auto";
  } catch {
    return "auto";
  }
}

function isDark(): boolean {
  const choice = document.documentElement.dataset["theme"] ?? "auto";
  return choice === "auto" ? media.matches : choice === "dark";
}

function tell(): void {
  for (const reader of readers) reader();
}

export function startTheme(): void {
  document.documentElement.dataset["theme"] = chosen();
  media.addEventListener("change", tell);
}

export function toggleTheme(): void {
  const choice = isDark() ? "light" : "dark";
  document.documentElement.dataset["theme"] = choice;
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    /* not kept then */
  }
  tell();
}

export function useTheme(): boolean {
  const [dark, setDark] = useState(isDark());
  useEffect(() => {
    const reader = () => setDark(isDark());
    readers.add(reader);
    return () => void readers.delete(reader);
  }, []);
  return dark;
}
