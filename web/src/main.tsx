// The dashboard's entry.
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./app.css";
import { App } from "./app";
import { Live } from "./live";
import { startTheme } from "./theme";

startTheme();
const live = new Live();
void live.run();
window.addEventListener("pagehide", () => live.stop());
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
render(<App live={live} />, document.getElementById("app")!);
