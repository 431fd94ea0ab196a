// The dashboard's entry.
import { render } from "preact";

render(<main><h1>brisk</h1></main>, document.getElementById("app")!);
