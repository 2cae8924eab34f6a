"""A job server that answers as Ray's dashboard does, and breaks as a test wants it."""

import asyncio
import threading

from aiohttp import web

LARGEST = 2**20
"""Bytes of a request, as Ray's dashboard limits them to 100 MiB."""
LOG = "".join(f"line {number}\n" for number in range(40))


class Server:
    """Answers as Ray's dashboard does, with what a test puts into `jobs` and `version`."""

    def __init__(self):
        self.version = {"ray_version": "2.60.0"}
        self.jobs = {}
        self.received = []
        self.packages = set()
        self.connections = 0
        self.cuts = 0
        self.endless = False
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.call(self.start())}"

    def call(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(10)

    async def start(self):
        app = web.Application(client_max_size=LARGEST)
        app.add_routes(
            [
                web.get("/api/version", self.get_version),
                web.get("/api/packages/{protocol}/{name}", self.get_package),
                web.put("/api/packages/{protocol}/{name}", self.put_package),
                web.get("/api/jobs/", self.get_jobs),
                web.post("/api/jobs/", self.post_job),
                web.get("/api/jobs/{id}", self.get_job),
                web.get("/api/jobs/{id}/logs/tail", self.tail),
            ]
        )
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        return self.runner.addresses[0][1]

    def stop(self):
        self.endless = False
        self.call(self.runner.cleanup())
        self.call(self.end_requests())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    async def end_requests(self):
        """Those whose connection broke while they answered."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def get_version(self, request):
        return web.json_response(self.version)

    async def get_package(self, request):
        return web.Response(status=200 if request.match_info["name"] in self.packages else 404)

    async def put_package(self, request):
        await request.read()
        self.packages.add(request.match_info["name"])
        return web.Response()

    async def get_jobs(self, request):
        return web.json_response([self.details(name) for name in self.jobs])

    async def get_job(self, request):
        return web.json_response(self.details(request.match_info["id"]))

    def details(self, name):
        return {"type": "SUBMISSION", "submission_id": name, "entrypoint": "x"} | self.jobs[name]

    async def post_job(self, request):
        self.received.append(await request.json())
        name = f"raysubmit_{len(self.received)}"
        self.jobs[name] = {"status": "PENDING", "metadata": self.received[-1]["metadata"]}
        return web.json_response({"job_id": name, "submission_id": name})

    async def tail(self, request):
        """The log from its start, a few lines at a time; the first connections break half-way."""
        self.connections += 1
        answer = web.WebSocketResponse()
        await answer.prepare(request)
        lines = LOG.splitlines(keepends=True)
        for number, first in enumerate(range(0, len(lines), 3 + self.connections)):
            if self.connections <= self.cuts and number == 1 + self.connections:
                request.transport.abort()
                return answer
            await answer.send_str("".join(lines[first : first + 3 + self.connections]))
        while self.endless:
            await asyncio.sleep(0.1)
        return answer
