"""Operators' actions on the monitor, each from the button to the service."""

from __future__ import annotations

import pytest
from playwright.async_api import Locator, expect

from tests.browser.monitor_page import MonitorPage
from tests.browser.served_bar import Bar
from tests.browser.visitors import Visitors


async def test_pause_undo_and_resume(bar: Bar, visitors: Visitors) -> None:
    """A confirmed pause stops hand-overs; undo, or the same button, resumes them."""
    monitor, board = await visitors.operator(), await visitors.television()
    await monitor.act("Pause", "Yes, pause", "out of ice")
    await expect(monitor.paused).to_be_visible()
    await expect(monitor.said).to_have_text("The bar is paused.")
    await expect(board.strip).to_have_text("The bar is taking a short break")
    await bar.robot()
    await bar.order("Ann")
    await expect(monitor.tile("waiting")).to_have_text("1")
    await monitor.button("Undo").click()
    await expect(monitor.paused).to_be_hidden()
    await expect(monitor.said).to_have_text("The bar is running again.")
    await bar.sees(1, "assigned")
    await monitor.act("Pause", "Yes, pause")
    await monitor.button("Resume").click()
    await expect(monitor.paused).to_be_hidden()


async def test_message_and_its_buttons_take_one_line(visitors: Visitors) -> None:
    """On a desktop the message and its buttons are on one line; on a phone the buttons are."""
    monitor = await visitors.operator()
    await monitor.act("Pause", "Yes, pause")
    await expect(monitor.said).to_have_text("The bar is paused.")
    parts = [monitor.said, monitor.button("Undo"), monitor.button("Dismiss")]
    words, undo, dismiss = [await middle_y(part) for part in parts]
    assert words == pytest.approx(undo, abs=2) == dismiss
    await monitor.page.set_viewport_size({"width": 320, "height": 640})
    assert await middle_y(parts[1]) == await middle_y(parts[2])


async def middle_y(part: Locator) -> float:
    """Return the y coordinate of an element's centre."""
    box = await part.bounding_box()
    assert box is not None
    return box["y"] + box["height"] / 2


async def test_reason_and_name_are_logged(visitors: Visitors) -> None:
    """Reason and name are sent; the name is remembered, without characters unfit for headers."""
    monitor = await visitors.operator()
    await monitor.button("Pause").click()
    await monitor.who.fill("Zoë Łu")
    await monitor.reason.fill("out of ice")
    await monitor.reason.press("Enter")
    await expect(monitor.events.first).to_contain_text("Zoe u: out of ice")
    await monitor.button("Resume").click()
    await expect(monitor.events.first).to_contain_text("Zoe u")
    await monitor.button("Pause").click()
    await expect(monitor.who).to_have_value("Zoë Łu")
    await expect(monitor.reason).to_have_value("")


async def test_no_and_escape_cancel_an_action(bar: Bar, visitors: Visitors) -> None:
    """No, or Escape, does nothing and returns the focus to its button."""
    monitor = await visitors.operator()
    await bar.order("Ann")
    cancel = monitor.button("Cancel order 1")
    await cancel.click()
    await monitor.button("No, leave it").click()
    await expect(cancel).to_be_focused()
    await cancel.click()
    await monitor.page.keyboard.press("Escape")
    await expect(monitor.dialog).to_be_hidden()
    await expect(monitor.said).to_be_empty()
    assert bar.proxy.count("POST /operator") == 0


async def test_enter_twice_does_nothing_final(bar: Bar, visitors: Visitors) -> None:
    """An action that cannot be undone starts at its harmless button; others start at the reason."""
    monitor = await visitors.operator()
    await bar.robot()
    await bar.order("Ann", "Ben", "Cleo", "Dan")
    await monitor.shelf_shows("Waiting", 2, 3, 4)
    for name in ("Cancel order 4", "Move to front: order 4"):
        await twice(monitor, name)
    await monitor.shelf("Being mixed").click()
    await twice(monitor, "Put back order 1")
    await bar.service.app.ctx.dispatcher.operator.pause("")
    await bar.robot("Robot Bert")
    await twice(monitor, "Drop Robot Bert")
    assert bar.proxy.count("POST /operator") == 0


async def twice(monitor: MonitorPage, name: str) -> None:
    """Press Enter twice, and check that nothing has happened."""
    await monitor.button(name).focus()
    await monitor.page.keyboard.press("Enter")
    await expect(monitor.button("No, leave it")).to_be_focused()
    await monitor.page.keyboard.press("Enter")
    await expect(monitor.dialog).to_be_hidden()
    await expect(monitor.button(name)).to_be_focused()


async def test_focus_returns_after_the_row_was_redrawn(bar: Bar, visitors: Visitors) -> None:
    """After the dialog the focus is where it was, even if the row was redrawn or removed."""
    monitor = await visitors.operator()
    await bar.order("Ann", "Ben", "Cleo")
    await monitor.button("Cancel order 3").focus()
    await monitor.page.keyboard.press("Enter")
    await bar.service.app.ctx.dispatcher.operator.move_to_front(
        (await monitor.id_of(3)), "birthday"
    )
    await monitor.shows_orders(3, 1, 2)
    await monitor.page.keyboard.press("Enter")
    await expect(monitor.button("Cancel order 3")).to_be_focused()
    await monitor.page.keyboard.press("Enter")
    bar.begin()
    await monitor.shows_orders(1, 2)
    await monitor.page.keyboard.press("Enter")
    await expect(monitor.page.locator("#orders-title")).to_be_focused()


async def test_cancel(bar: Bar, visitors: Visitors) -> None:
    """A cancelled order leaves the queue, and its customer is told why."""
    phone, monitor = await visitors.phone(), await visitors.operator()
    await phone.place()
    await monitor.act("Cancel order 1", "Yes, cancel it", "no more mint")
    await expect(monitor.said).to_have_text("Order 1 is cancelled.")
    await expect(monitor.button("Undo")).to_be_hidden()
    await phone.shows("cancelled")
    await monitor.shelf_shows("Waiting")
    await monitor.shelf_shows("Finished", 1)
    await expect(monitor.orders).to_contain_text("no more mint")


async def test_put_back(bar: Bar, visitors: Visitors) -> None:
    """An assigned order returns to its own place, before later ones."""
    monitor = await visitors.operator()
    await bar.robot()
    await bar.order("Ann", "Ben")
    await monitor.shelf_shows("Being mixed", 1)
    await monitor.act("Put back order 1", "Yes, put it back", "glass broke")
    await expect(monitor.said).to_have_text("Order 1 is back in the queue.")
    await monitor.shelf_shows("Waiting", 1, 2)
    await expect(monitor.orders.first).to_contain_text("glass broke")


async def test_a_failed_order_can_be_put_back(bar: Bar, visitors: Visitors) -> None:
    """Failed orders have a shelf of their own, with the reason, and can be put back from there."""
    monitor = await visitors.operator()
    robot = await bar.robot()
    (job_id,) = await bar.order("Ann")
    await bar.fail(job_id, robot, "no more mint")
    await expect(monitor.tile("waiting").locator("+ dd")).to_have_text("1 failed")
    await monitor.shelf_shows("Failed", 1)
    await expect(monitor.orders).to_contain_text("no more mint")
    await monitor.act("Put back order 1", "Yes, put it back", "mint is here")
    await monitor.shelf_shows("Waiting", 1)


async def test_move_to_the_front(bar: Bar, visitors: Visitors) -> None:
    """The order becomes the next one: on the monitor, on the board, and for the robot."""
    monitor, board = await visitors.operator(), await visitors.television()
    await bar.order("Ann", "Ben", "Cleo")
    await expect(monitor.button("Move to front: order 1")).to_be_hidden()
    await monitor.act("Move to front: order 3", "Yes, move it", "birthday")
    await expect(monitor.said).to_have_text("Order 3 is next.")
    await monitor.shelf_shows("Waiting", 3, 1, 2)
    await expect(monitor.button("Move to front: order 3")).to_be_hidden()
    await expect(monitor.button("Move to front: order 1")).to_be_visible()
    await board.shows(next=[3, 1, 2])
    bar.begin()
    await bar.sees(3, "assigned")


async def test_no_priorities(bar: Bar, visitors: Visitors) -> None:
    """Where they do not order the line, none can be changed."""
    await bar.order("Ann", "Ben")
    monitor = await visitors.operator()
    buttons = monitor.orders.last.get_by_role("button")
    await expect(buttons).to_have_text(["Move to front", "Cancel"])


async def test_set_a_robot_aside_and_bring_it_back(bar: Bar, visitors: Visitors) -> None:
    """A robot set aside gets no jobs until that is undone or it is brought back."""
    monitor = await visitors.operator()
    await bar.robot()
    robot = monitor.worker("Robot Ada")
    await monitor.act("Set aside Robot Ada", "Yes, set it aside", "smells burnt")
    await expect(robot.locator(".pill")).to_have_text("Set aside")
    await expect(robot).to_contain_text("smells burnt")
    await monitor.button("Undo").click()
    await expect(robot.locator(".pill")).to_have_text("Idle")
    await monitor.act("Set aside Robot Ada", "Yes, set it aside")
    await expect(robot.locator(".pill")).to_have_text("Set aside")
    await bar.order("Ann")
    await expect(monitor.tile("waiting")).to_have_text("1")
    await monitor.button("Bring back Robot Ada").click()
    await bar.sees(1, "assigned")
    await expect(robot).to_contain_text("Mixing")
    await expect(robot).to_contain_text("#1")


async def test_drop_a_robot(bar: Bar, visitors: Visitors) -> None:
    """A dropped robot is forgotten, which cannot be undone."""
    monitor = await visitors.operator()
    await bar.robot()
    await monitor.act("Drop Robot Ada", "Yes, drop it", "gone home")
    await expect(monitor.said).to_have_text("Robot Ada was dropped.")
    await expect(monitor.button("Undo")).to_be_hidden()
    await expect(monitor.workers).to_have_count(0)
    await expect(monitor.events.first).to_contain_text("Robot dropped")


async def test_cancel_what_is_being_mixed(bar: Bar, visitors: Visitors) -> None:
    """The robot is asked to stop; who asked and why is shown, until it says what became of it."""
    monitor = await visitors.operator()
    await bar.robot()
    (order_id,) = await bar.order("Ann")
    await bar.sees(1, "assigned")
    for percent in (10, 25, 40):
        await bar.make_progress(order_id, percent, "adding gin")
    await monitor.shelf("Being mixed").click()
    await expect(monitor.orders).to_contain_text("40 %: adding gin")
    await expect(monitor.worker("Robot Ada")).to_contain_text("40 %: adding gin")
    await monitor.act("Cancel order 1", "Yes, ask it to stop", "no more mint")
    await expect(monitor.said).to_have_text("The robot making order 1 is asked to stop.")
    await expect(monitor.orders).to_contain_text("asked to stop no more mint")
    await expect(monitor.worker("Robot Ada")).to_contain_text("asked to stop")
    await expect(monitor.events.first).to_contain_text("Robot asked to stop")
    await expect(monitor.button("Cancel order 1")).to_be_hidden()
    await bar.stop(order_id)
    await expect(monitor.events.first).to_contain_text("Cancelled")
    await expect(monitor.orders).to_have_count(0)
    await monitor.look_back("order?n=1")
    way = ["Received", "Given to a robot", "Taken by the robot", "Progress", "Robot asked to stop"]
    await expect(monitor.steps.locator("b")).to_have_text([*way, "Cancelled"])
    await expect(monitor.steps.nth(3)).to_contain_text("40 % · adding gin")


async def test_a_cancel_that_a_robot_came_before(bar: Bar, visitors: Visitors) -> None:
    """If a robot has the order by the time it is confirmed, that robot is asked to stop."""
    monitor = await visitors.operator()
    await bar.order("Ann")
    await monitor.button("Cancel order 1").click()
    bar.begin()
    await bar.sees(1, "assigned")
    await monitor.button("Yes, cancel it").click()
    await expect(monitor.said).to_have_text("The robot making order 1 is asked to stop.")


async def test_an_action_that_became_impossible(bar: Bar, visitors: Visitors) -> None:
    """If an action is impossible by the time it is confirmed, the page shows the reason."""
    visitors.expect_network_errors = True
    monitor = await visitors.operator()
    await bar.order("Ann", "Ben")
    await monitor.button("Move to front: order 2").click()
    bar.begin()
    bar.begin("Robot Bert")
    await bar.sees(2, "assigned")
    await monitor.button("Yes, move it").click()
    await expect(monitor.wrong).to_have_text(
        "That was not possible: cannot move: the job is assigned."
    )
    await monitor.button("Dismiss").click()
    await expect(monitor.wrong).to_be_empty()


async def test_a_service_that_cannot_be_reached(bar: Bar, visitors: Visitors) -> None:
    """The page says that it is unknown whether the action was carried out."""
    visitors.expect_network_errors = True
    monitor = await visitors.operator()
    bar.proxy.go_offline()
    await monitor.act("Pause", "Yes, pause")
    await expect(monitor.wrong).to_contain_text("could not be reached")


async def test_the_second_click_of_a_double_click_does_nothing(
    bar: Bar, visitors: Visitors
) -> None:
    """It neither repeats the action nor presses the button that has taken its place."""
    monitor = await visitors.operator()
    await bar.robot()
    await monitor.act("Set aside Robot Ada", "Yes, set it aside")
    await monitor.button("Bring back Robot Ada").dblclick()
    await expect(monitor.said).to_have_text("Robot Ada is back.")
    await monitor.act("Pause", "Yes, pause")
    await monitor.button("Resume").dblclick()
    await expect(monitor.said).to_have_text("The bar is running again.")
    await expect(monitor.dialog).to_be_hidden()
    assert bar.proxy.count("POST /operator/workers/back") == 1
    assert bar.proxy.count("POST /operator/resume") == 1


async def test_keyboard_only(bar: Bar, visitors: Visitors) -> None:
    """Everything works by keyboard; after an action on a row that goes, the next has the focus."""
    monitor = await visitors.operator()
    await bar.order("Ann", "Ben")
    await expect(monitor.orders).to_have_count(2)
    keys = monitor.page.keyboard
    await monitor.tab_to(monitor.button("Cancel order 1"))
    assert await monitor.focus_is_visible()
    await keys.press("Enter")
    await expect(monitor.button("No, leave it")).to_be_focused()
    await monitor.tab_to(monitor.reason)
    await keys.type("left")
    await monitor.tab_to(monitor.button("Yes, cancel it"))
    assert await monitor.focus_is_visible()
    await keys.press("Enter")
    await monitor.shows_orders(2)
    await expect(monitor.button("Cancel order 2")).to_be_focused()
    await keys.press("Enter")
    await monitor.tab_to(monitor.button("Yes, cancel it"))
    await keys.press("Enter")
    await monitor.shows_orders()
    await expect(monitor.page.locator("#orders-title")).to_be_focused()
    await monitor.tab_to(monitor.button("Pause the log"))
    await keys.press("Space")
    await expect(monitor.page.locator("#hold")).to_have_attribute("aria-pressed", "true")
    await monitor.tab_to(monitor.button("Pause"))
    await keys.press("Enter")
    await keys.press("Enter")
    await expect(monitor.paused).to_be_visible()
    await monitor.tab_to(monitor.button("Undo"))
    assert await monitor.focus_is_visible()
    await keys.press("Enter")
    await expect(monitor.paused).to_be_hidden()
